//! One delivery attempt, without a worker.

use super::*;
use crate::clock;

async fn attempt(policy: Policy, request: Duration, url: &Url) -> Report {
    let limits = Limits {
        request,
        ..Limits::default()
    };
    let sender = Sender::new(policy, limits).unwrap();
    let endpoint = endpoint(url, &["*"]);
    soon("an attempt", sender.post(&endpoint, &message(1, 1))).await
}

const LONG_TIMEOUT: Duration = Duration::from_secs(10);
const SHORT_TIMEOUT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn attempt_ends_when_receiver_hangs() {
    let receiver = Receiver::start(|_| Box::pin(std::future::pending())).await;
    let report = attempt(OPEN, SHORT_TIMEOUT, &receiver.url).await;
    assert!(matches!(report.result, Err(Failure::Timeout)), "{report:?}");
    assert_eq!(report.outcome(), "timeout");
    assert_eq!(report.attempt(), Attempt::Failed { retry_after: None });
}

#[tokio::test]
async fn status_counts_when_body_never_ends() {
    for (status, accepted) in [(StatusCode::OK, true), (StatusCode::BAD_GATEWAY, false)] {
        let receiver = Receiver::start(move |_| {
            let drip = futures_util::stream::iter([Ok::<_, std::io::Error>("x")])
                .chain(futures_util::stream::pending());
            Box::pin(async move { (status, Body::from_stream(drip)).into_response() })
        })
        .await;
        let report = attempt(OPEN, SHORT_TIMEOUT, &receiver.url).await;
        assert!(report.took >= SHORT_TIMEOUT, "{report:?}");
        assert_eq!(
            report.attempt() == Attempt::Accepted,
            accepted,
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn only_beginning_of_endless_response_is_read() {
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let mut receiver = Receiver::start(move |_| {
        let count = Arc::clone(&count);
        let flood = futures_util::stream::repeat_with(move || {
            count.fetch_add(65_536, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 65_536]))
        });
        Box::pin(async move { Body::from_stream(flood).into_response() })
    })
    .await;
    let report = attempt(OPEN, LONG_TIMEOUT, &receiver.url).await;
    assert_eq!(report.attempt(), Attempt::Accepted);
    assert!(report.took < LONG_TIMEOUT, "it was read until the timeout");
    receiver.next().await;
    // The buffers of both sockets are full, and no more.
    assert!(produced.load(Ordering::SeqCst) < 64 * 1024 * 1024);
}

/// Starts a receiver that answers each request with these bytes, and repeats the second ones while they are read. Returns
/// its URL and the number of repeated bytes.
async fn start_raw_receiver(first: &'static [u8], then: &'static [u8]) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let written = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&written);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(first).await.is_err() {
                        return;
                    }
                    while !then.is_empty() && stream.write_all(then).await.is_ok() {
                        count.fetch_add(then.len(), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    (Url::parse(&url).unwrap(), written)
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_informational_responses_end_the_attempt() {
    const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let long: &[u8] = format!(
        "HTTP/1.1 103 Early Hints\r\nX-Long: {}\r\n\r\n",
        "x".repeat(50_000)
    )
    .leak()
    .as_bytes();
    // An endless head is not counted as a response.
    let endless: &[u8] = b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    for (first, then) in [
        (HINTS, HINTS),
        (HINTS, long),
        (&b"HTTP/1.1 103 Early Hints\r\nX-Long: "[..], endless),
    ] {
        let (url, written) = start_raw_receiver(first, then).await;
        let report = attempt(OPEN, LONG_TIMEOUT, &url).await;
        assert!(report.took < LONG_TIMEOUT / 2, "{report:?}");
        assert_eq!(report.outcome(), "error", "{report:?}");
        // The connection is closed: the written bytes are in the sockets' buffers, and no more follow.
        soon("the receiver can write no more", async {
            let mut polls = tokio::time::interval(Duration::from_millis(100));
            let mut before = usize::MAX;
            loop {
                polls.tick().await;
                let now = written.load(Ordering::SeqCst);
                if now == std::mem::replace(&mut before, now) {
                    break;
                }
            }
        })
        .await;
        let written = written.load(Ordering::SeqCst);
        assert!(written < 16 * 1024 * 1024, "{written} bytes");
    }
}

#[tokio::test]
async fn few_informational_responses_are_accepted() {
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (url, _) = start_raw_receiver(answer, b"").await;
    let limits = Limits::default();
    let sender = Sender::new(OPEN, limits).unwrap();
    let endpoint = endpoint(&url, &["*"]);
    // Each attempt starts its own count, also on the same connection.
    for _ in 0..20 {
        let report = soon("an attempt", sender.post(&endpoint, &message(1, 1))).await;
        assert_eq!(report.attempt(), Attempt::Accepted, "{report:?}");
    }
}

#[tokio::test]
async fn unknown_host_and_refused_host_give_the_same_error() {
    let public = Policy {
        allow_http: true,
        allow_private: false,
    };
    let error_for = async |host: &str| {
        let url = Url::parse(&format!("http://{host}/hook")).unwrap();
        let report = attempt(public, LONG_TIMEOUT, &url).await;
        let error = report.attempted(clock::now()).error.unwrap();
        (error.replace(host, "HOST"), report.outcome())
    };
    let (refused, outcome) = error_for("localhost").await;
    assert_eq!(outcome, "refused");
    // A label of 64 characters is invalid, so no DNS request is sent.
    let (unknown, outcome) = error_for(&format!("{}.invalid", "x".repeat(64))).await;
    // The metrics distinguish the two.
    assert_eq!(outcome, "connect");
    assert_eq!(unknown, refused);
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let mut receiver = Receiver::start(|_| {
        Box::pin(async {
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, "/elsewhere")],
            )
                .into_response()
        })
    })
    .await;
    let report = attempt(OPEN, LONG_TIMEOUT, &receiver.url).await;
    assert_eq!(
        report.result.as_ref().ok(),
        Some(&StatusCode::TEMPORARY_REDIRECT)
    );
    assert_eq!(report.outcome(), "status");
    assert_eq!(receiver.next().await.path, "/hook");
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn retry_after_header_is_reported() {
    let receiver = Receiver::start(|_| {
        Box::pin(async {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "90")]).into_response()
        })
    })
    .await;
    let report = attempt(OPEN, LONG_TIMEOUT, &receiver.url).await;
    let retry_after = Some(Duration::from_secs(90));
    assert_eq!(report.attempt(), Attempt::Failed { retry_after });
}

#[tokio::test]
async fn private_address_is_refused_without_a_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let public = Policy {
        allow_http: true,
        allow_private: false,
    };
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f000001",
    ] {
        let url = Url::parse(&format!("http://{host}:{port}/hook")).unwrap();
        let report = attempt(public, LONG_TIMEOUT, &url).await;
        assert!(
            matches!(report.result, Err(Failure::Refused(_))),
            "{host}: {report:?}"
        );
        let accepted = listener.accept();
        assert!(
            matches!(&accepted, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
            "{host}: {accepted:?}"
        );
    }
    // The same address is called if the policy allows it.
    let url = Url::parse(&format!("http://localhost:{port}/hook")).unwrap();
    let report = attempt(OPEN, SHORT_TIMEOUT, &url).await;
    assert!(
        !matches!(report.result, Err(Failure::Refused(_))),
        "{report:?}"
    );
    assert!(listener.accept().is_ok());
}

#[tokio::test]
async fn https_url_is_called_over_tls() {
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let mut url = receiver.url.clone();
    url.set_scheme("https").unwrap();
    let report = attempt(OPEN, LONG_TIMEOUT, &url).await;
    assert_eq!(report.outcome(), "connect", "{report:?}");
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn error_of_refused_connection_hides_the_query() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = Url::parse(&format!("http://127.0.0.1:{port}/hook?token=geheim")).unwrap();
    let report = attempt(OPEN, LONG_TIMEOUT, &url).await;
    assert_eq!(report.outcome(), "connect");
    let shown = format!("{report:?} {}", report.result.as_ref().unwrap_err());
    assert!(!shown.contains("geheim"), "{shown}");
    assert!(shown.contains("refused"), "{shown}");
}
