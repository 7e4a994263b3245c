//! Real connections: bad requests get a response, and the connection continues or closes only afterwards.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::*;

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let router = World::new().router;
    tokio::spawn(async move { axum::serve(listener, router).await });
    at
}

fn head(length: usize, more: &str) -> String {
    format!(
        "POST /api/v1/conferences HTTP/1.1\r\nHost: x\r\nX-App-ID: demo\r\nX-API-Key: demo-key\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

/// A response: status, head and body.
async fn answer(stream: &mut TcpStream) -> (u16, String, String) {
    let mut seen = Vec::new();
    let end = loop {
        if let Some(at) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(
            stream.read_buf(&mut seen).await.unwrap(),
            0,
            "closed without a response"
        );
    };
    let head = String::from_utf8(seen[..end].to_vec())
        .unwrap()
        .to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap()
        .parse()
        .unwrap();
    while seen.len() < end + length {
        assert_ne!(
            stream.read_buf(&mut seen).await.unwrap(),
            0,
            "closed within a response"
        );
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        head,
        String::from_utf8(seen[end..].to_vec()).unwrap(),
    )
}

async fn exchange(stream: &mut TcpStream, body: &[u8]) -> (u16, String, String) {
    stream
        .write_all(head(body.len(), "").as_bytes())
        .await
        .unwrap();
    stream.write_all(body).await.unwrap();
    answer(stream).await
}

#[tokio::test]
async fn keep_alive_connection_survives_bad_bodies() {
    let mut stream = TcpStream::connect(serve().await).await.unwrap();
    let large = vec![b'x'; 3_000_000];
    for (body, status) in [
        (&b"{\"name\":"[..], 400),
        (b"\xff\xfe", 400),
        (&large, 413),
        (b"{}", 400),
        (&large, 413),
        (b"{\"name\":\"n\"}", 201),
        (b"{\"name\":\"n\"}", 409),
    ] {
        let (got, _, text) = exchange(&mut stream, body).await;
        assert_eq!(got, status, "{text}");
        if status >= 400 {
            assert!(
                text.starts_with("{\"success\":false,\"error\":\""),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn unauthenticated_body_keeps_connection() {
    let mut stream = TcpStream::connect(serve().await).await.unwrap();
    let body = vec![b'x'; 500_000];
    for _ in 0..2 {
        let head = head(body.len(), "").replace("demo-key", "wrong");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        assert_eq!(answer(&mut stream).await.0, 401);
    }
}

#[tokio::test]
async fn far_too_large_body_is_answered_at_once_and_closes_connection() {
    let mut stream = TcpStream::connect(serve().await).await.unwrap();
    stream
        .write_all(head(1 << 40, "").as_bytes())
        .await
        .unwrap();
    let (status, head, _) = answer(&mut stream).await;
    assert_eq!(status, 413);
    assert!(head.contains("connection: close"), "{head}");
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test]
async fn expect_continue_is_refused_for_too_large_body() {
    let mut stream = TcpStream::connect(serve().await).await.unwrap();
    let head = head(1_000_000, "Expect: 100-continue\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (status, head, _) = answer(&mut stream).await;
    assert_eq!(status, 413, "{head}");
}
