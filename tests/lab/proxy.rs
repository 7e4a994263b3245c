//! The proxy in front of the controllers, with the project's configuration, where HAProxy is installed.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::{root, say};
use crate::program::poll;
use crate::support::process::{self, free_port};

/// A running HAProxy on `docker/haproxy.cfg`.
pub struct Proxy {
    child: Child,
    pub address: SocketAddr,
}

impl Proxy {
    /// Starts HAProxy in front of two controllers, each given by its API's port and its admin port.
    pub fn start(controllers: [[u16; 2]; 2]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = process::spawn(command(address, controllers, &[]));
        Self { child, address }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn installed() -> bool {
    program().is_some()
}

/// Debian installs it outside the `PATH` of most users.
fn program() -> Option<&'static str> {
    if process::installed("haproxy") {
        return Some("haproxy");
    }
    let there = std::path::Path::new("/usr/sbin/haproxy").is_file();
    there.then_some("/usr/sbin/haproxy")
}

fn command(address: SocketAddr, controllers: [[u16; 2]; 2], args: &[&str]) -> Command {
    let mut command = process::command(program().expect("HAProxy is installed"));
    command
        .args(["-db", "-f"])
        .arg(root().join("docker/haproxy.cfg"))
        .args(args)
        .env("RK_BIND", address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for (n, [api, admin]) in controllers.into_iter().enumerate() {
        let n = n + 1;
        command.env(format!("RK_API_{n}"), format!("127.0.0.1:{api}"));
        command.env(format!("RK_ADMIN_PORT_{n}"), admin.to_string());
    }
    command
}

/// A stand-in for a controller, with only the parts that the proxy uses.
struct Upstream {
    ports: [u16; 2],
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Starts a server that answers every request with its name, and streams the given lines once.
async fn upstream(name: &'static str, lines: mpsc::Receiver<String>) -> Upstream {
    let lines = Arc::new(Mutex::new(Some(lines)));
    let events = move || {
        let lines = Arc::clone(&lines);
        async move {
            let lines = lines.lock().await.take().expect("one stream");
            let lines = futures_util::stream::unfold(lines, async |mut lines| {
                let line = lines.recv().await?;
                Some((Ok::<_, Infallible>(Bytes::from(line)), lines))
            });
            (
                [("Content-Type", "text/event-stream")],
                Body::from_stream(lines),
            )
        }
    };
    let api = Router::new()
        .route("/api/v1/events", get(events))
        .fallback(any(move || async move { name }));
    let admin = Router::new().route("/readyz", get(|| async { StatusCode::OK }));
    let (mut ports, mut tasks) = (Vec::new(), Vec::new());
    for routes in [api, admin] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        ports.push(listener.local_addr().unwrap().port());
        tasks.push(tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        }));
    }
    Upstream {
        ports: ports.try_into().unwrap(),
        tasks,
    }
}

async fn get_once(client: &reqwest::Client, url: &str) -> Option<(u16, Option<String>, String)> {
    let answer = client.get(url).send().await.ok()?;
    let status = answer.status().as_u16();
    let retry = answer.headers().get("retry-after");
    let retry = retry.map(|value| value.to_str().unwrap().to_owned());
    Some((status, retry, answer.text().await.ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_not_buffered_and_stopped_controllers_get_no_requests() {
    if !installed() {
        say("No HAProxy is installed: docker/haproxy.cfg was not tried.\n");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(15))
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let (tell, lines) = mpsc::channel(1);
    let (_silent, none) = mpsc::channel(1);
    let first = upstream("first", lines).await;
    let second = upstream("second", none).await;
    let proxy = Proxy::start([first.ports, second.ports]);
    let url = |path: &str| format!("http://{}{path}", proxy.address);

    // Both get requests, in turn.
    let named = async |name: &str| {
        poll::until(name, poll::TIMEOUT, async || {
            let (status, _, body) = get_once(&client, &url("/api/v1/sessions")).await?;
            (status == 200 && body == name).then_some(())
        })
        .await;
    };
    named("first").await;
    named("second").await;
    let health = get_once(&client, &url("/proxy-health")).await.unwrap();
    assert_eq!(health.0, 200);

    // The second one is gone: only the first answers, and no request is lost.
    drop(second);
    for _ in 0..20 {
        let (status, _, body) = get_once(&client, &url("/api/v1/sessions")).await.unwrap();
        assert_eq!((status, body.as_str()), (200, "first"));
    }

    // Each line arrives before the next one is written: the proxy does not buffer.
    tell.send("data: 0\n\n".to_owned()).await.unwrap();
    let stream = client.get(url("/api/v1/events")).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let mut stream = stream.bytes_stream();
    for n in 0..5 {
        let line = tokio::time::timeout(poll::TIMEOUT, stream.next()).await;
        let line = line.expect("the proxy does not buffer").unwrap().unwrap();
        assert_eq!(line, format!("data: {n}\n\n"));
        tell.send(format!("data: {}\n\n", n + 1)).await.unwrap();
    }

    // No controller is left: the answer has the API's error form.
    drop(first);
    let unavailable = poll::until("no controller is left", poll::TIMEOUT, async || {
        let answer = get_once(&client, &url("/api/v1/sessions")).await?;
        (answer.0 == 503).then_some(answer)
    })
    .await;
    let body: Value = serde_json::from_str(&unavailable.2).unwrap();
    assert_eq!(
        body,
        json!({"success": false, "error": "no controller is ready"})
    );
    assert_eq!(unavailable.1.as_deref(), Some("1"));
}

#[test]
fn haproxy_accepts_its_configuration() {
    if !installed() {
        return;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let mut command = command(address, [[2, 3], [4, 5]], &["-c"]);
    command.stderr(Stdio::piped());
    let done = process::spawn(command).wait_with_output().unwrap();
    let output = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{output}");
    assert!(!output.contains("WARNING"), "{output}");
}
