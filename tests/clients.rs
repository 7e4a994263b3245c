//! Clients without a key against the program: bad heads, many connections, wrong keys, pages of other sites.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

#[path = "support/program/mod.rs"]
mod program;
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use program::controller::{ApiRequest, Controller, KEY};
use program::poll::{self, TIMEOUT};

/// Starts a controller with an unreachable node; `http` extends the configuration of the listeners.
async fn controller(http: &str) -> Controller {
    let rest = format!(
        "{http}\n[store]\nurl = \"memory:\"\n\
         [[nodes]]\nid = \"acW68\"\naddress = \"127.0.0.1:1\"\npassword = \"x\"\n\
         [[apps]]\nid = \"demo\"\napi_key = \"{KEY}\"\n"
    );
    let controller = Controller::start("demo", &rest);
    controller.until_ready().await;
    controller
}

/// A response as received.
#[derive(Debug)]
struct RawResponse {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl RawResponse {
    /// Checks the status and the common form of errors.
    fn fails(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        assert_eq!(body["success"], false, "{self:?}");
        assert!(
            body["error"].as_str().is_some_and(|e| !e.is_empty()),
            "{self:?}"
        );
        body
    }
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Connects from another loopback address.
async fn connect_from(last: u8, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, last], 0)))
        .unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(to).await.unwrap()
}

/// Reads one response; `buffer` keeps the bytes after it.
async fn next_response(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> RawResponse {
    let read = async {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let read = stream.read_buf(buffer).await.unwrap();
            assert_ne!(read, 0, "closed without a response");
        };
        let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
        let head = head.to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.parse().unwrap());
        while buffer.len() < end + length {
            let read = stream.read_buf(buffer).await.unwrap();
            assert_ne!(read, 0, "closed within a response");
        }
        let rest = buffer.split_off(end + length);
        let body = buffer[end..].to_vec();
        *buffer = rest;
        RawResponse {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body,
            head,
        }
    };
    tokio::time::timeout(TIMEOUT, read).await.unwrap()
}

/// Reads the only expected response.
async fn answer(stream: &mut TcpStream) -> RawResponse {
    next_response(stream, &mut Vec::new()).await
}

/// Sends these bytes on a new connection, and reads the response.
async fn exchange(port: u16, bytes: &[u8]) -> RawResponse {
    let mut stream = connect(port).await;
    // The response may come before all bytes are sent.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset also closes the connection.
    let end = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut rest)).await;
    end.is_ok() && rest.is_empty()
}

#[tokio::test]
async fn refused_heads_get_response_in_common_form() {
    let controller = controller("").await;
    let long = "x".repeat(70_000);
    let fields = "a: b\r\n".repeat(101);
    let large = format!("a: {long}\r\n");
    for port in controller.ports() {
        for (head, status) in [
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("\u{16}\u{3}\u{1}\u{2}".to_owned(), 400),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\na b: c\r\n\r\n".to_owned(),
                400,
            ),
            (
                format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
                414,
            ),
            (
                format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"),
                431,
            ),
            (
                format!("GET / HTTP/1.1\r\nHost: localhost\r\n{large}\r\n"),
                431,
            ),
        ] {
            let raw = exchange(port, head.as_bytes()).await;
            raw.fails(status);
            assert!(raw.head.contains("connection: close"), "{raw:?}");
            assert!(
                raw.head.contains("content-type: application/json"),
                "{raw:?}"
            );
        }
    }
    let metrics = controller.metrics().await;
    assert!(
        metrics.contains(
            "roomkeeper_http_requests_total{route=\"none\",method=\"GET\",status=\"431\"}"
        ),
        "refused heads are counted"
    );
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let controller = controller("").await;
    let credentials = format!("X-App-ID: demo\r\nX-API-Key: {KEY}\r\n");
    let path = "/api/v1/conferences";
    for fields in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Host: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    ] {
        let head =
            format!("POST {path} HTTP/1.1\r\n{credentials}{fields}\r\n2\r\n{{}}\r\n0\r\n\r\n");
        let raw = exchange(controller.http(), head.as_bytes()).await;
        let body = raw.fails(400);
        let error = body["error"].as_str().unwrap();
        assert!(
            error.contains("Host") || error.contains("Transfer-Encoding"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_up_to_refused_one() {
    let controller = controller("").await;
    let good = format!(
        "GET /api/v1/conferences HTTP/1.1\r\nHost: a\r\nX-App-ID: demo\r\nX-API-Key: {KEY}\r\n\r\n"
    );
    let made = |name: &str| {
        let body = format!("{{\"name\":\"{name}\"}}");
        format!(
            "POST /api/v1/conferences HTTP/1.1\r\nHost: a\r\nX-App-ID: demo\r\nX-API-Key: {KEY}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut stream = connect(controller.http()).await;
    let all = format!(
        "{good}{}\r\n{}{good}bad\r\n\r\n{good}",
        made("a"),
        made("b")
    );
    // Send in pieces.
    for (at, piece) in all.as_bytes().chunks(97).enumerate() {
        stream.write_all(piece).await.unwrap();
        if at % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // The node is unreachable, so creation of rooms is refused.
    let mut buffer = Vec::new();
    for status in [200, 503, 503, 200, 400] {
        assert_eq!(next_response(&mut stream, &mut buffer).await.status, status);
    }
    assert!(buffer.is_empty());
    assert!(is_closed(&mut stream).await);
    // A request with a chunked body is the last of its connection.
    let chunked = format!(
        "POST /api/v1/conferences HTTP/1.1\r\nHost: a\r\nX-App-ID: demo\r\nX-API-Key: {KEY}\r\n\
         Transfer-Encoding: chunked\r\n\r\n7\r\n{{\"name\"\r\n5\r\n:\"c\"}}\r\n0\r\n\r\n"
    );
    let raw = exchange(controller.http(), chunked.as_bytes()).await;
    raw.fails(503);
    assert!(raw.head.contains("connection: close"), "{raw:?}");
}

#[tokio::test]
async fn connection_continues_after_large_bodies() {
    let controller = controller("").await;
    let mut stream = connect(controller.http()).await;
    let name = "\"name\":\"large\"";
    let large = format!("{{\"pad\":\"{}\",{name}}}", "x".repeat(200_000));
    for (key, body, status) in [
        (KEY, large.as_str(), 503),
        ("wrong", &large, 401),
        (KEY, "{\"name\":", 400),
        (KEY, "", 400),
        (KEY, &large, 503),
    ] {
        let head = format!(
            "POST /api/v1/conferences HTTP/1.1\r\nHost: a\r\nX-App-ID: demo\r\nX-API-Key: {key}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        answer(&mut stream).await.fails(status);
    }
}

#[tokio::test]
async fn request_without_key_gets_response_before_its_body() {
    let controller = controller("").await;
    let [http, admin] = controller.ports();
    for (port, path) in [
        (http, "/api/v1/conferences"),
        (http, "/v1.0/conferences"),
        (http, "/api/v1/webhooks"),
        (admin, "/admin/apps/acme"),
    ] {
        let mut stream = connect(port).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: 262144\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 262_143]).await.unwrap();
        // Much shorter than the timeout for a body that a handler reads.
        let raw = tokio::time::timeout(Duration::from_secs(8), answer(&mut stream)).await;
        let raw = raw.expect("the response does not wait for the last byte");
        raw.fails(401);
        assert!(raw.head.contains("connection: close"), "{raw:?}");
    }
}

#[tokio::test]
async fn oldest_idle_connections_of_address_are_closed() {
    let controller = controller("connections_per_address = 8").await;
    let port = controller.http();
    let request = format!(
        "GET /api/v1/conferences HTTP/1.1\r\nHost: a\r\nX-App-ID: demo\r\nX-API-Key: {KEY}\r\n\r\n"
    );
    let mut with_key = connect_from(9, port).await;
    with_key.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut with_key).await.status, 200);
    let mut elsewhere = connect_from(10, port).await;
    elsewhere.write_all(b"GET").await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(connect_from(9, port).await);
    }
    poll::until("idle connections were replaced", TIMEOUT, async || {
        let name = "roomkeeper_http_connections_closed_total";
        let replaced = controller.metric(name, "why=\"replaced\"").await;
        (replaced == 13.0).then_some(())
    })
    .await;
    assert!(is_closed(&mut idle[0]).await, "the oldest is closed");
    // The others stay open: the one with a key, the newest, and that of another address.
    for stream in [&mut with_key, idle.last_mut().unwrap()] {
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(answer(stream).await.status, 200);
    }
    elsewhere.write_all(&request.as_bytes()[3..]).await.unwrap();
    assert_eq!(answer(&mut elsewhere).await.status, 200);
}

#[tokio::test]
async fn proxies_are_not_limited_by_address() {
    let http = "connections_per_address = 4\ntrusted_proxies = [\"127.0.0.9\"]";
    let controller = controller(http).await;
    let mut of_proxy = Vec::new();
    for _ in 0..12 {
        of_proxy.push(connect_from(9, controller.http()).await);
    }
    for stream in &mut of_proxy {
        let head = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        answer(stream).await.fails(404);
    }
}

async fn with_key(controller: &Controller, key: &str) -> u16 {
    let ask = ApiRequest {
        method: "GET",
        path: "/conferences",
        app: Some("demo"),
        key: Some(key),
        ..ApiRequest::default()
    };
    controller.exactly(ask).await.unwrap().status
}

#[tokio::test]
async fn wrong_keys_are_throttled_and_logged_once() {
    let controller = controller("").await;
    assert_eq!(with_key(&controller, KEY).await, 200);
    let mut throttled = 0;
    for at in 0..600 {
        match with_key(&controller, &format!("guess-{at}")).await {
            401 => {}
            429 => throttled += 1,
            status => panic!("{status}"),
        }
        // A valid key is still accepted.
        if at % 50 == 0 {
            assert_eq!(with_key(&controller, KEY).await, 200);
        }
    }
    assert!(throttled > 0, "no guess was throttled");
    let name = "roomkeeper_http_unauthorized_total";
    let counted = controller.metric(name, "outcome=\"throttled\"").await;
    assert_eq!(counted, f64::from(throttled));
    let wrong = controller.metric(name, "outcome=\"wrong\"").await;
    assert_eq!(wrong, f64::from(600 - throttled));
    let lines = controller.log_about(|line| {
        line.contains("without a valid key") || (line.contains("INFO") && line.contains("=401"))
    });
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

#[tokio::test]
async fn response_to_refused_head_has_common_headers() {
    let controller = controller("").await;
    for port in controller.ports() {
        let raw = exchange(port, b"GET / HTTP/1.1\r\nno colon\r\n\r\n").await;
        assert_eq!(raw.status, 400, "{}", raw.head);
        for header in ["x-content-type-options: nosniff", "x-request-id: "] {
            assert!(raw.head.contains(header), "{header}: {}", raw.head);
        }
    }
}

#[tokio::test]
async fn pages_are_not_sniffed() {
    let controller = controller("").await;
    let [http, admin] = controller.ports();
    for (port, path) in [
        (http, "/docs"),
        (http, "/openapi.json"),
        (http, "/console"),
        (http, "/nothing"),
        (admin, "/metrics"),
        (admin, "/healthz"),
        (admin, "/console"),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let raw = exchange(port, head.as_bytes()).await;
        assert!(
            raw.head.contains("x-content-type-options: nosniff"),
            "{path}: {}",
            raw.head
        );
    }
}

/// Sends a request with these header fields to the admin listener.
async fn send_to_admin(
    controller: &Controller,
    method: &str,
    path: &str,
    fields: &str,
) -> RawResponse {
    let [_, port] = controller.ports();
    let head = format!("{method} {path} HTTP/1.1\r\n{fields}\r\n");
    exchange(port, head.as_bytes()).await
}

#[tokio::test]
async fn admin_listener_requires_generated_key() {
    let controller = controller("").await;
    let [_, port] = controller.ports();
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    let with_key = format!(
        "{host}X-Admin-API-Key: {}\r\n",
        controller.admin_key().unwrap_or_default()
    );
    for (method, path) in [
        ("GET", "/admin/nodes"),
        ("GET", "/admin/apps"),
        ("POST", "/admin/apps/acme"),
        ("POST", "/admin/nodes/acW68/drain"),
    ] {
        send_to_admin(&controller, method, path, &host)
            .await
            .fails(401);
        let raw = send_to_admin(&controller, method, path, &with_key).await;
        assert!(raw.status < 300, "{raw:?}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let raw = send_to_admin(&controller, "GET", path, &host).await;
        assert_eq!(raw.status, 200, "{raw:?}");
    }
}

#[tokio::test]
async fn requests_of_other_sites_pages_are_refused() {
    let controller = controller("allowed_hosts = [\"rk.example.com\"]").await;
    let [http, port] = controller.ports();
    let key = format!(
        "X-Admin-API-Key: {}\r\n",
        controller.admin_key().unwrap_or_default()
    );
    let own = format!("Host: localhost:{port}\r\n{key}");
    for (fields, status) in [
        // A rebound name.
        (format!("Host: evil.example:{port}\r\n{key}"), 421),
        (
            format!("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n{key}"),
            421,
        ),
        // Requests of a page of another origin.
        (format!("{own}Origin: http://evil.example\r\n"), 403),
        (format!("{own}Origin: null\r\n"), 403),
        (format!("{own}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{own}Sec-Fetch-Site: same-site\r\n"), 403),
        // A body that a page can send without a preflight request.
        (format!("{own}Content-Length: 2\r\n"), 415),
        (
            format!("{own}Content-Length: 2\r\nContent-Type: text/plain\r\n"),
            415,
        ),
        // Programs, and pages of the same origin.
        (own.clone(), 201),
        (format!("{own}Origin: http://localhost:{port}\r\n"), 409),
        (format!("{own}Sec-Fetch-Site: same-origin\r\n"), 409),
        (format!("Host: rk.example.com\r\n{key}"), 409),
        (format!("Host: [::1]:{port}\r\n{key}"), 409),
    ] {
        let fields = match fields.contains("Content-Length") {
            true => format!("{fields}\r\n{{}}"),
            false => fields,
        };
        let raw = send_to_admin(&controller, "POST", "/admin/apps/acme", &fields).await;
        assert_eq!(raw.status, status, "{fields}: {raw:?}");
    }
    for (host, fields, status) in [
        ("evil.example", "", 421),
        ("localhost", "Sec-Fetch-Site: cross-site\r\n", 403),
        (
            "localhost",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n",
            200,
        ),
        ("localhost", "Sec-Fetch-Site: none\r\n", 200),
        ("127.0.0.1", "", 200),
        ("rk.example.com", "", 200),
    ] {
        for path in ["/console", "/docs", "/openapi.json"] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
            let raw = exchange(http, head.as_bytes()).await;
            assert_eq!(raw.status, status, "{path} {host} {fields}: {}", raw.head);
        }
    }
    // With a key, the API accepts any host name.
    let head = format!(
        "GET /api/v1/conferences HTTP/1.1\r\nHost: evil.example\r\nX-App-ID: demo\r\nX-API-Key: {KEY}\r\n\r\n"
    );
    assert_eq!(exchange(http, head.as_bytes()).await.status, 200);
}
