//! The media proxy: what it fetches and what it refuses, within which bounds, and what it answers.
//!
//! Servers are at several addresses of loopback: one that may be played from, and one that stands for those inside.
// All of it is a test, also what the lint cannot know to be one.
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

/// The only host that may be played from.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const INSIDE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

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
    fn with(setup: Setup) -> Self {
        let fetcher = Fetcher::new(setup.rules, setup.fetch, &setup.lookup).unwrap();
        let proxy = Proxy::new(links(1), fetcher, setup.limits);
        Self {
            routes: router(Arc::new(proxy)),
        }
    }

    async fn request(&self, request: Request<Body>) -> Answer {
        let answer = tokio::time::timeout(PATIENCE, self.routes.clone().oneshot(request));
        let (head, body) = answer.await.expect("an answer").unwrap().into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// The answer that FreeSWITCH gets for this link.
    async fn follow(&self, method: &str, link: &str) -> Answer {
        let path = link.strip_prefix(BASE).unwrap();
        let request = Request::builder().method(method).uri(path);
        self.request(request.body(Body::empty()).unwrap()).await
    }

    /// The answer that FreeSWITCH gets for a new link to this URL.
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

/// A server of sounds, each of so many bytes.
async fn of_bytes(length: usize) -> Origin {
    Origin::start(ALLOWED, move |_| {
        Some(sound("audio/x-wav", &vec![7; length]))
    })
    .await
}

#[tokio::test]
async fn file_is_fetched_once_for_head_and_get_and_served_whole() {
    let origin = of_bytes(300_000).await;
    let media = Media::with(Setup::default());
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
    // Played again soon, by another link.
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
async fn redirect_to_a_forbidden_address_is_not_followed() {
    let inside = Origin::serve_sounds(INSIDE).await;
    let at = inside.address;
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
            let media = Media::with(Setup::default());
            let url = format!("http://{}/x.wav", origin.address);
            let answer = media.get(&url).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{status} {location}");
            assert_eq!(answer.body, b"forbidden");
            assert_eq!(origin.requests(), ["GET /x.wav"], "it redirected");
        }
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn redirects_to_an_allowed_host_are_followed_up_to_a_bound() {
    let origin = Origin::start(ALLOWED, |path| {
        let left: usize = path.strip_prefix('/')?.parse().ok()?;
        Some(match left {
            0 => sound("audio/mpeg", b"music"),
            left => redirect(&format!("/{}", left - 1)),
        })
    })
    .await;
    let media = Media::with(Setup::default());
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
async fn name_that_changes_to_a_forbidden_address_is_not_connected_to() {
    let inside = Origin::serve_sounds(INSIDE).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Whoever checked the name before the fetch was told of a public address.
    let lookup: Lookup = Arc::new(move |host| {
        assert_eq!(host, "cdn.example.com");
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(vec![SocketAddr::from((INSIDE, 0))]) })
    });
    let media = Media::with(Setup {
        rules: PlayRules::default(),
        lookup,
        ..Setup::default()
    });
    let url = format!("http://cdn.example.com:{}/x.wav", inside.address.port());
    let answer = media.get(&url).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it was resolved once");
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn name_is_connected_to_at_the_address_that_was_checked() {
    let origin = of_bytes(3).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        // A second question would lead inside.
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let ip = if first { ALLOWED } else { INSIDE };
        Box::pin(async move { Ok(vec![SocketAddr::from((ip, 0))]) })
    });
    let media = Media::with(Setup {
        rules: PlayRules {
            allow_hosts: Vec::new(),
            allow_private: true,
        },
        lookup,
        ..Setup::default()
    });
    let url = format!("http://cdn.example.com:{}/x.wav", origin.address.port());
    assert_eq!(media.get(&url).await.body, [7; 3]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn stored_url_is_checked_by_current_rules() {
    let origin = of_bytes(3).await;
    let media = Media::with(Setup {
        rules: PlayRules::default(),
        ..Setup::default()
    });
    let url = format!("http://{}/x.wav", origin.address);
    assert_eq!(media.get(&url).await.status, StatusCode::FORBIDDEN);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn forged_and_expired_links_fetch_nothing() {
    let origin = of_bytes(3).await;
    let media = Media::with(Setup::default());
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
        let media = Media::with(setup());
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
    // One byte every few milliseconds: each of them in time, all of them for ever.
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
    let media = Media::with(Setup {
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
    assert!(sent.load(Ordering::SeqCst) > 10, "it dripped");
    assert_eq!(hangs.requests().len(), 1, "it hung");
    // It is hung up on.
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
}

/// Waits until this holds.
async fn until(holds: impl Fn() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it comes about");
}

#[tokio::test]
async fn fetches_at_the_same_time_are_bounded_in_all_and_for_each_host() {
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
        let media = Media::with(setup(fetches, of_host));
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
async fn requests_at_the_same_time_share_one_fetch() {
    let begun = Arc::new(tokio::sync::Notify::new());
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (gate, says) = (Mutex::new(gate), Arc::clone(&begun));
    let origin = Origin::start(ALLOWED, move |_| {
        says.notify_one();
        // The server holds its answer until the second request waits, too.
        let _go = gate.lock().unwrap().recv_timeout(PATIENCE);
        Some(sound("audio/x-wav", b"sound"))
    });
    let origin = origin.await;
    let media = Media::with(Setup::default());
    let url = format!("http://{}/a.wav", origin.address);
    let ask = || {
        let (media, url) = (media.clone(), url.clone());
        tokio::spawn(async move { media.get(&url).await })
    };
    let first = ask();
    begun.notified().await;
    let second = ask();
    // A caller that goes away takes nothing from the others.
    first.abort();
    go.send(()).unwrap();
    assert_eq!(second.await.unwrap().body, b"sound");
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn cached_files_are_bounded_in_bytes_and_number() {
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
        let media = Media::with(Setup {
            limits,
            ..Setup::default()
        });
        let url = |n: usize| format!("http://{}/{n}.wav", origin.address);
        for n in [1, 2, 3, 1, 4, 1] {
            assert_eq!(media.get(&url(n)).await.status, StatusCode::OK);
        }
        // The second was used least recently and made room for the fourth.
        assert_eq!(origin.requests().len(), 4);
        media.get(&url(2)).await;
        assert_eq!(origin.requests().len(), 5);
        let full = Media::with(Setup {
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
        let media = Media::with(Setup::default());
        let url = format!("http://{}/x.wav", origin.address);
        let answer = media.get(&url).await;
        assert_eq!(answer.status, answered, "{status}");
        assert_eq!(answer.body, why.as_bytes());
        // A failure is not held.
        media.get(&url).await;
        assert_eq!(origin.requests().len(), 2);
    }
    let gone = Origin::serve_sounds(ALLOWED).await.address;
    let media = Media::with(Setup::default());
    let answer = media.get(&format!("http://{gone}/x.wav")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.body, b"connect");
    // What is not TLS, and would not be trusted either.
    let plain = Origin::serve_sounds(ALLOWED).await;
    let answer = media.get(&format!("https://{}/x.wav", plain.address)).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.body, b"connect");
}
