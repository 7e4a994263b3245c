//! The media proxy: fetches, refusals, limits and responses.
//!
//! Servers listen on several loopback addresses: an allowed one, and one that represents internal addresses.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "support/program/media.rs"]
mod origin;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use origin::{Origin, redirect, sound};
use roomkeeper::clock;
use roomkeeper::media::PlayRules;
use roomkeeper::media::fetch::{FetchLimits, Fetcher};
use roomkeeper::media::link::{LinkKey, Links};
use roomkeeper::media::proxy::{Proxy, ProxyLimits, router};
use roomkeeper::webhook::guard::{Lookup, system_lookup};
use roomkeeper_core::play_url::PlayUrl;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// The only host from which files may be played.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const INTERNAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Longer than any successful step takes.
const TIMEOUT: Duration = Duration::from_secs(20);

const BASE: &str = "http://controller:8082";

fn links(key: u8) -> Links {
    Links::new(PlayUrl::new(BASE).unwrap(), LinkKey::new([key; 32]))
}

struct Setup {
    rules: PlayRules,
    fetch: FetchLimits,
    limits: ProxyLimits,
    lookup: Lookup,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rules: PlayRules {
                allow_hosts: vec![ALLOWED.to_string()],
                allow_private: true,
            },
            fetch: FetchLimits::default(),
            limits: ProxyLimits::default(),
            lookup: system_lookup(),
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[derive(Clone)]
struct Media {
    routes: Router,
}

impl Media {
    fn new(setup: Setup) -> Self {
        let fetcher = Fetcher::new(setup.rules, setup.fetch, &setup.lookup).unwrap();
        let proxy = Proxy::new(links(1), fetcher, setup.limits);
        Self {
            routes: router(Arc::new(proxy)),
        }
    }

    async fn request(&self, request: Request<Body>) -> Answer {
        let answer = tokio::time::timeout(TIMEOUT, self.routes.clone().oneshot(request));
        let (head, body) = answer
            .await
            .expect("a response in time")
            .unwrap()
            .into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// Requests a link, like FreeSWITCH.
    async fn follow(&self, method: &str, link: &str) -> Answer {
        let path = link.strip_prefix(BASE).unwrap();
        let request = Request::builder().method(method).uri(path);
        self.request(request.body(Body::empty()).unwrap()).await
    }

    /// Requests a new link to this URL, like FreeSWITCH.
    async fn get(&self, url: &str) -> Answer {
        self.follow("GET", &link(url)).await
    }
}

fn link(url: &str) -> String {
    let url = PlayUrl::new(url).unwrap();
    links(1)
        .link(&url, clock::now(), rand::random())
        .to_string()
}

/// Starts a server of sounds of this length in bytes.
async fn origin_with_length(length: usize) -> Origin {
    Origin::start(ALLOWED, move |_| {
        Some(sound("audio/x-wav", &vec![7; length]))
    })
    .await
}

#[tokio::test]
async fn file_is_fetched_once_for_head_and_get() {
    let origin = origin_with_length(300_000).await;
    let media = Media::new(Setup::default());
    let url = format!("http://{}/a@2x.wav?sig=x.y", origin.address);
    let link = link(&url);
    assert!(link.ends_with("/audio.wav"), "{link}");
    let head = media.follow("HEAD", &link).await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.headers["content-length"], "300000");
    assert!(head.body.is_empty());
    let got = media.follow("GET", &link).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.body, vec![7; 300_000]);
    for (name, value) in [
        ("content-type", "audio/x-wav"),
        ("content-length", "300000"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(got.headers[name], value, "{name}");
    }
    // Another link to the same file uses the cache.
    assert_eq!(media.get(&url).await.body, got.body);
    assert_eq!(origin.requests(), ["GET /a%402x.wav?sig=x%2Ey"]);

    let request = Request::get(link.strip_prefix(BASE).unwrap())
        .header("If-None-Match", &got.headers["etag"])
        .body(Body::empty())
        .unwrap();
    let unchanged = media.request(request).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert!(unchanged.body.is_empty());
}

#[tokio::test]
async fn redirect_to_forbidden_address_is_not_followed() {
    let internal = Origin::serve_sounds(INTERNAL).await;
    let at = internal.address;
    for location in [
        format!("http://{at}/x.wav"),
        format!("//{at}/x.wav"),
        format!("http://localhost:{}/x.wav", at.port()),
        format!("http://2130706433:{}/x.wav", at.port()),
        format!("http://[::ffff:127.0.0.1]:{}/x.wav", at.port()),
        format!("https://{at}/x.wav"),
        format!("http://{ALLOWED}@{at}/x.wav"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.2/x.wav".to_owned(),
        "http://".to_owned(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let leads = location.clone();
            let origin = Origin::start(ALLOWED, move |_| {
                let text = String::from_utf8(redirect(&leads)).unwrap();
                Some(text.replace("302", &status.to_string()).into_bytes())
            })
            .await;
            let media = Media::new(Setup::default());
            let url = format!("http://{}/x.wav", origin.address);
            let answer = media.get(&url).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{status} {location}");
            assert_eq!(answer.body, b"forbidden");
            assert_eq!(origin.requests(), ["GET /x.wav"], "it redirected");
        }
    }
    assert_eq!(internal.connections(), 0);
}

#[tokio::test]
async fn redirects_to_allowed_host_are_followed_up_to_limit() {
    let origin = Origin::start(ALLOWED, |path| {
        let left: usize = path.strip_prefix('/')?.parse().ok()?;
        Some(match left {
            0 => sound("audio/mpeg", b"music"),
            left => redirect(&format!("/{}", left - 1)),
        })
    })
    .await;
    let media = Media::new(Setup::default());
    let answer = media.get(&format!("http://{}/5", origin.address)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, b"music");
    assert_eq!(origin.requests().len(), 6);
    let answer = media.get(&format!("http://{}/6", origin.address)).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.body, b"redirects");
    assert_eq!(origin.requests().len(), 12);
}

#[tokio::test]
async fn name_that_changes_to_forbidden_address_is_refused() {
    let internal = Origin::serve_sounds(INTERNAL).await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lookups);
    // An earlier check of the name returned a public address.
    let lookup: Lookup = Arc::new(move |host| {
        assert_eq!(host, "cdn.example.com");
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(vec![SocketAddr::from((INTERNAL, 0))]) })
    });
    let media = Media::new(Setup {
        rules: PlayRules::default(),
        lookup,
        ..Setup::default()
    });
    let url = format!("http://cdn.example.com:{}/x.wav", internal.address.port());
    let answer = media.get(&url).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(
        lookups.load(Ordering::SeqCst),
        1,
        "the name is resolved once"
    );
    assert_eq!(internal.connections(), 0);
}

#[tokio::test]
async fn connection_uses_the_checked_address() {
    let origin = origin_with_length(3).await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lookups);
    let lookup: Lookup = Arc::new(move |_| {
        // A second lookup would return an internal address.
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let ip = if first { ALLOWED } else { INTERNAL };
        Box::pin(async move { Ok(vec![SocketAddr::from((ip, 0))]) })
    });
    let media = Media::new(Setup {
        rules: PlayRules {
            allow_hosts: Vec::new(),
            allow_private: true,
        },
        lookup,
        ..Setup::default()
    });
    let url = format!("http://cdn.example.com:{}/x.wav", origin.address.port());
    assert_eq!(media.get(&url).await.body, [7; 3]);
    assert_eq!(lookups.load(Ordering::SeqCst), 1);
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn stored_url_is_checked_by_current_rules() {
    let origin = origin_with_length(3).await;
    let media = Media::new(Setup {
        rules: PlayRules::default(),
        ..Setup::default()
    });
    let url = format!("http://{}/x.wav", origin.address);
    assert_eq!(media.get(&url).await.status, StatusCode::FORBIDDEN);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn forged_and_expired_links_fetch_nothing() {
    let origin = origin_with_length(3).await;
    let media = Media::new(Setup::default());
    let url = PlayUrl::new(&format!("http://{}/x.wav", origin.address)).unwrap();
    let forged = links(2).link(&url, clock::now(), 1).to_string();
    let long_ago = clock::now().before(Duration::from_secs(86_400));
    let expired = links(1).link(&url, long_ago, 1).to_string();
    for (bad, why) in [
        (forged, "link is not signed by this fleet"),
        (expired, "link has expired"),
        (
            format!("{BASE}/media/x/audio.wav"),
            "link is not signed by this fleet",
        ),
    ] {
        for method in ["HEAD", "GET"] {
            let answer = media.follow(method, &bad).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {bad}");
            if method == "GET" {
                assert_eq!(answer.body, why.as_bytes());
            }
        }
    }
    assert_eq!(origin.connections(), 0);
    for other in [
        format!("{BASE}/"),
        format!("{BASE}/media/"),
        format!("{BASE}/media/x"),
    ] {
        assert_eq!(
            media.follow("GET", &other).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn too_large_file_is_not_cached() {
    let setup = || Setup {
        fetch: FetchLimits {
            file: 1_000,
            ..FetchLimits::default()
        },
        ..Setup::default()
    };
    for declares in [true, false] {
        let origin = Origin::start(ALLOWED, move |_| {
            let whole = sound("audio/x-wav", &[7; 1_001]);
            let text = String::from_utf8(whole).unwrap();
            Some(if declares {
                text.into_bytes()
            } else {
                let body = "\u{7}".repeat(1_001);
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                )
                .into_bytes()
            })
        })
        .await;
        let media = Media::new(setup());
        let url = format!("http://{}/x.wav", origin.address);
        let answer = media.get(&url).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_GATEWAY,
            "declares {declares}"
        );
        assert_eq!(answer.body, b"too_large");
        assert_eq!(origin.connections(), 1);
    }
}

#[tokio::test]
async fn slow_or_hanging_server_times_out() {
    // One byte every few milliseconds: each is in time, but the body never ends.
    let listener = TcpListener::bind((ALLOWED, 0)).await.unwrap();
    let drips = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let hangs = Origin::start(ALLOWED, |_| None).await;
    let media = Media::new(Setup {
        fetch: FetchLimits {
            time: Duration::from_millis(500),
            ..FetchLimits::default()
        },
        ..Setup::default()
    });
    for address in [drips, hangs.address] {
        let answer = media.get(&format!("http://{address}/x.wav")).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(answer.body, b"timeout");
    }
    assert!(
        sent.load(Ordering::SeqCst) > 10,
        "the server sends single bytes"
    );
    assert_eq!(hangs.requests().len(), 1, "the server gets the request");
    // The proxy closes the connection.
    tokio::time::timeout(TIMEOUT, task).await.unwrap().unwrap();
}

/// Waits until a condition holds.
async fn until(condition: impl Fn() -> bool) {
    tokio::time::timeout(TIMEOUT, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the condition holds in time");
}

#[tokio::test]
async fn concurrent_fetches_are_limited_in_total_and_per_host() {
    let other = Ipv4Addr::new(127, 0, 0, 3);
    let hangs = Origin::start(ALLOWED, |_| None).await;
    let good = Origin::serve_sounds(other).await;
    let setup = |fetches, fetches_from_host| Setup {
        rules: PlayRules {
            allow_hosts: Vec::new(),
            allow_private: true,
        },
        limits: ProxyLimits {
            fetches,
            fetches_from_host,
            ..ProxyLimits::default()
        },
        fetch: FetchLimits {
            time: Duration::from_secs(600),
            ..FetchLimits::default()
        },
        ..Setup::default()
    };
    for (fetches, of_host, other_host) in [
        (10, 2, StatusCode::OK),
        (2, 10, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let media = Media::new(setup(fetches, of_host));
        let before = hangs.requests().len();
        let waiting: Vec<_> = (0..2)
            .map(|n| {
                let media = media.clone();
                let url = format!("http://{}/{n}.wav", hangs.address);
                tokio::spawn(async move { media.get(&url).await })
            })
            .collect();
        until(|| hangs.requests().len() == before + 2).await;
        let third = media.get(&format!("http://{}/3.wav", hangs.address)).await;
        assert_eq!(third.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(third.body, b"busy");
        let elsewhere = media.get(&format!("http://{}/a.wav", good.address)).await;
        assert_eq!(elsewhere.status, other_host, "{fetches} and {of_host}");
        for task in waiting {
            task.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_share_one_fetch() {
    let arrived = Arc::new(tokio::sync::Notify::new());
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (gate, arrival) = (Mutex::new(gate), Arc::clone(&arrived));
    let origin = Origin::start(ALLOWED, move |_| {
        arrival.notify_one();
        // The server holds its response until the second request waits, too.
        let _go = gate.lock().unwrap().recv_timeout(TIMEOUT);
        Some(sound("audio/x-wav", b"sound"))
    });
    let origin = origin.await;
    let media = Media::new(Setup::default());
    let url = format!("http://{}/a.wav", origin.address);
    let ask = || {
        let (media, url) = (media.clone(), url.clone());
        tokio::spawn(async move { media.get(&url).await })
    };
    let first = ask();
    arrived.notified().await;
    let second = ask();
    // A caller that disconnects does not affect the others.
    first.abort();
    go.send(()).unwrap();
    assert_eq!(second.await.unwrap().body, b"sound");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn cache_is_limited_in_bytes_and_files() {
    for limits in [
        ProxyLimits {
            bytes: 3_500,
            ..ProxyLimits::default()
        },
        ProxyLimits {
            files: 3,
            ..ProxyLimits::default()
        },
    ] {
        let origin = Origin::start(ALLOWED, |_| {
            let long = String::from_utf8(sound("audio/x-wav", &[7; 1_000])).unwrap();
            Some(long.replace("no-store", "max-age=60").into_bytes())
        })
        .await;
        let media = Media::new(Setup {
            limits,
            ..Setup::default()
        });
        let url = |n: usize| format!("http://{}/{n}.wav", origin.address);
        for n in [1, 2, 3, 1, 4, 1] {
            assert_eq!(media.get(&url(n)).await.status, StatusCode::OK);
        }
        // The second file was used least recently and was evicted for the fourth.
        assert_eq!(origin.requests().len(), 4);
        media.get(&url(2)).await;
        assert_eq!(origin.requests().len(), 5);
        let full = Media::new(Setup {
            limits: ProxyLimits {
                bytes: 999,
                ..limits
            },
            ..Setup::default()
        });
        let answer = full.get(&url(1)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body, b"full");
    }
}

#[tokio::test]
async fn server_failures_are_distinguished() {
    for (status, answered, why) in [
        (404, StatusCode::NOT_FOUND, "not_found"),
        (410, StatusCode::NOT_FOUND, "not_found"),
        (204, StatusCode::BAD_GATEWAY, "status"),
        (206, StatusCode::BAD_GATEWAY, "status"),
        (304, StatusCode::BAD_GATEWAY, "status"),
        (403, StatusCode::BAD_GATEWAY, "status"),
        (500, StatusCode::BAD_GATEWAY, "status"),
    ] {
        let origin = Origin::start(ALLOWED, move |_| {
            let text = String::from_utf8(sound("audio/x-wav", b"")).unwrap();
            Some(text.replace("200", &status.to_string()).into_bytes())
        })
        .await;
        let media = Media::new(Setup::default());
        let url = format!("http://{}/x.wav", origin.address);
        let answer = media.get(&url).await;
        assert_eq!(answer.status, answered, "{status}");
        assert_eq!(answer.body, why.as_bytes());
        // A failure is not cached.
        media.get(&url).await;
        assert_eq!(origin.requests().len(), 2);
    }
    let gone = Origin::serve_sounds(ALLOWED).await.address;
    let media = Media::new(Setup::default());
    let answer = media.get(&format!("http://{gone}/x.wav")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.body, b"connect");
    // A server without TLS.
    let plain = Origin::serve_sounds(ALLOWED).await;
    let answer = media.get(&format!("https://{}/x.wav", plain.address)).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.body, b"connect");
}
