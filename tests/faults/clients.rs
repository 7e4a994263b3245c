//! Clients without a key: connections that occupy memory, and cross-site pages in an internal browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::program::poll;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::Stage;

rows![
    30 unauthenticated_clients_hold_incomplete_requests needs enough_files,
    34 cross_site_pages_call_admin_listener,
];

/// The limit of open files that the tests and the controller each need in the long form.
const FILES: u64 = 6_000;

/// The limit of the controller's peak memory.
const MAX_MB: u64 = 200;

/// Time limit of an answer to an authenticated client under this load.
const ANSWER: Duration = Duration::from_secs(5);

fn enough_files() -> Result<(), &'static str> {
    let limit = getrlimit(Resource::Nofile);
    match limit.maximum.is_none_or(|most| most >= FILES) {
        true => Ok(()),
        false => Err("requires 6,000 open files (ulimit -Hn)"),
    }
}

/// Raises the limit of open files for this process and the controllers that it starts.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|now| now < FILES) {
        let raised = Rlimit {
            current: maximum.map_or(Some(FILES), |most| Some(most.min(FILES))),
            maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

/// The peak memory of a process, in megabytes.
fn peak_mb(pid: rustix::process::Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kb / 1024
}

/// Returns almost complete requests.
fn incomplete_requests() -> [Arc<str>; 3] {
    let head = "POST /api/v1/conferences HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\n";
    let body = " ".repeat(262_143);
    [
        // A body that lacks its last byte.
        format!("{head}Content-Length: 262144\r\n\r\n{body}").into(),
        // Two heads without an end: one above the size limit, one just below.
        format!("{head}a: {}", "x".repeat(390_000)).into(),
        format!("{head}a: {}", "x".repeat(65_000)).into(),
    ]
}

/// Opens a connection from the `nth` of forty addresses and sends as much of the request as the server accepts.
async fn hold(nth: usize, port: u16, request: Arc<str>) -> (TcpStream, usize) {
    let socket = TcpSocket::new_v4().unwrap();
    let last = u8::try_from(2 + nth % 40).unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, last], 0)))
        .unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = socket.connect(to).await.unwrap();
    let mut sent = 0;
    while sent < request.len() {
        match stream.write(&request.as_bytes()[sent..]).await {
            Ok(written) => sent += written,
            // The server has answered and closed the connection.
            Err(_) => break,
        }
    }
    (stream, sent)
}

async fn unauthenticated_clients_hold_incomplete_requests(stage: &Stage) -> Report {
    raise_open_files();
    let scene = stage.scene(Setup::on(Store::Memory)).await;
    let controller = &scene.world.controller;
    let count = stage.pick(1_200, 4_000);
    let before = peak_mb(controller.pid());
    let start = Instant::now();
    let mut holding = JoinSet::new();
    for (nth, request) in incomplete_requests().iter().cycle().take(count).enumerate() {
        holding.spawn(hold(nth, controller.http(), Arc::clone(request)));
    }
    let mut slowest = Duration::ZERO;
    let mut held = Vec::new();
    while let Some(one) = holding.join_next().await {
        held.push(one.unwrap());
        if held.len().is_multiple_of(100) {
            let answer = controller.once("GET", "/conferences", None).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            slowest = slowest.max(answer.took);
        }
    }
    let sent: usize = held.iter().map(|(_, sent)| sent).sum();
    assert_eq!(held.len(), count);
    assert!(sent > count * 60_000, "{sent} bytes of {count} connections");
    // New clients while all these connections are open.
    for _ in 0..10 {
        let answer = controller.once("GET", "/conferences", None).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        slowest = slowest.max(answer.took);
    }
    assert!(slowest < stage.within(ANSWER), "{slowest:?}");
    let peak = peak_mb(controller.pid());
    assert!(peak < MAX_MB, "{peak} MB, {before} MB before");
    // The server answers or closes each, although its request stays incomplete.
    let mut answered = 0;
    for (mut stream, _) in held {
        let mut bytes = [0; 64];
        let read = tokio::time::timeout(poll::TIMEOUT, stream.read(&mut bytes)).await;
        if let Ok(read) = read.expect("the server answers or closes")
            && let Some(line) = bytes[..read].strip_prefix(b"HTTP/1.1 ")
        {
            assert!(line.starts_with(b"4") || line.starts_with(b"503"));
            answered += 1;
        }
    }
    assert!(answered > 0, "no connection got an answer");
    let took = start.elapsed();
    scene
        .report(
            format!("{count} connections, {} MB sent", sent / 1_000_000),
            format!("at most {peak} MB ({before} before), an authenticated client waits {slowest:.1?} at most"),
            Some(took),
        )
        .await
}

async fn cross_site_pages_call_admin_listener(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::on(Store::Memory)).await;
    let controller = &scene.world.controller;
    let [_, port] = controller.ports();
    let mut refused = 0;
    for (host, fields) in [
        (
            format!("127.0.0.1:{port}"),
            "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
        ),
        (
            format!("localhost:{port}"),
            "Origin: http://localhost:1\r\nSec-Fetch-Site: same-site\r\n",
        ),
        (format!("127.0.0.1:{port}"), "Origin: null\r\n"),
        (
            format!("evil.example:{port}"),
            "Sec-Fetch-Site: same-origin\r\n",
        ),
        (format!("127.0.0.1:{port}"), ""),
    ] {
        for (method, path) in [
            ("POST", "/admin/apps/evil".to_owned()),
            ("POST", format!("/admin/nodes/{}/drain", scene.world.node)),
            ("GET", "/admin/apps".to_owned()),
        ] {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n"
            );
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(
                ["401", "403", "421"].contains(&status),
                "{method} {path} of {host} {fields:?}: {answer}"
            );
            refused += 1;
        }
    }
    // None of the requests has an effect.
    let apps = controller.operator("/admin/apps").await.unwrap();
    assert!(!apps.body.to_string().contains("evil"), "{}", apps.body);
    let nodes = controller.operator("/admin/nodes").await.unwrap();
    assert_eq!(nodes.body["nodes"][0]["draining"], false);
    scene
        .report(format!("{refused} requests"), "all refused", None)
        .await
}
