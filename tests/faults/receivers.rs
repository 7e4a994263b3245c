//! Webhook receivers that answer badly or not at all, and receivers at forbidden addresses.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::program::controller::{ApiRequest, Controller, KEY};
use crate::program::poll;
use crate::program::receiver::{Receiver, SECRET};
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Stage, WebhookView, until_metric};
use crate::support::process;

rows![
    21 receivers_fail_hang_drip_or_flood,
    21 many_rooms_wait_for_hanging_receiver,
    22 worker_killed_between_post_and_acknowledgement,
    23 receiver_at_private_address,
    28 receivers_of_other_apps_hang(real),
    29 receivers_send_endless_informational_responses,
];

/// Time limit of a hanging receiver's first attempt: at most two others precede it, of 10 s each.
const FIRST_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(45);

const ATTEMPTS: &str = "roomkeeper_webhook_attempts_total";

/// A receiver's misbehaviour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Answers 500 at once.
    Fails,
    /// Reads the request and does not answer.
    Hangs,
    /// Sends an endless response head, one byte every 200 ms.
    Drips,
    /// Answers 500 with a body of 10 GB.
    Floods,
    /// Sends endless informational responses at line rate.
    Hints,
    /// Redirects to this port.
    Redirects(u16),
}

const HINT: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";

/// A misbehaving receiver.
struct BadReceiver {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for BadReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl BadReceiver {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (request_count, sent_count) = (Arc::clone(&requests), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (requests, sent) = (Arc::clone(&request_count), Arc::clone(&sent_count));
                connections.spawn(async move {
                    // The controller notices the end of the connection.
                    let _ = answer(stream, manner, &requests, &sent).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            requests,
            sent,
            task,
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

async fn answer(
    mut stream: TcpStream,
    manner: Manner,
    requests: &AtomicUsize,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    while stream.read(&mut bytes).await? > 0 {
        requests.fetch_add(1, Ordering::SeqCst);
        match manner {
            Manner::Fails => {
                let answer = b"HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Drips => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await?;
                loop {
                    stream.write_all(b"x").await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            Manner::Floods => {
                let head = b"HTTP/1.1 500 Sorry\r\nContent-Length: 10000000000\r\n\r\n";
                stream.write_all(head).await?;
                loop {
                    stream.write_all(&bytes).await?;
                    sent.fetch_add(bytes.len(), Ordering::SeqCst);
                }
            }
            Manner::Hints => loop {
                stream.write_all(HINT).await?;
                sent.fetch_add(HINT.len(), Ordering::SeqCst);
            },
            Manner::Redirects(port) => {
                let answer = format!(
                    "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:{port}/hook\r\nContent-Length: 0\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// Adds a receiver to the last app of the configuration.
fn add_receiver(config: String, url: &str) -> String {
    // These worlds have no tables of other apps or nodes, so the app's table is the last one.
    format!("{config}[[apps.webhooks]]\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\n")
}

async fn receivers_fail_hang_drip_or_flood(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let manners = [Manner::Fails, Manner::Hangs, Manner::Drips, Manner::Floods];
    let mut receivers = Vec::new();
    for manner in manners {
        receivers.push(BadReceiver::start(manner).await);
    }
    // Restart the program with these receivers and the good one.
    let urls: Vec<String> = receivers.iter().map(BadReceiver::url).collect();
    let with_receivers = scene.world.replica(
        |config| {
            urls.iter()
                .fold(config, |config, url| add_receiver(config, url))
        },
        Vec::new(),
    );
    let mut old = std::mem::replace(&mut scene.world.controller, with_receivers);
    old.terminate();
    old.ended(poll::TIMEOUT).await;
    scene.world.controller.until_ready().await;
    scene.world.controller.until_synced().await;
    let controller = &scene.world.controller;
    let resident = process::resident(controller.pid());
    let mut most = resident;

    // All five receivers get every webhook. The others must not delay the good one.
    let start = Instant::now();
    let span = Duration::from_secs(stage.pick(13, 60));
    let (mut slowest, mut webhooks, mut rooms) = (Duration::ZERO, 0, 0);
    while start.elapsed() < span {
        for (command, event) in [
            ("unmute", "conference.member.unmuted"),
            ("mute", "conference.member.muted"),
        ] {
            slowest = slowest.max(
                scene
                    .time_until(event, async || scene.change_member(command).await)
                    .await,
            );
            webhooks += 1;
        }
        // Each room has its own queue per receiver. There are fewer rooms than concurrent attempts.
        if start.elapsed() >= Duration::from_secs(rooms * stage.pick(1, 4)) {
            rooms += 1;
            let room = scene
                .world
                .room(&format!("r{}", uuid::Uuid::new_v4().simple()))
                .await;
            let at = Instant::now();
            scene
                .world
                .receiver
                .first(&room, "conference.created")
                .await;
            slowest = slowest.max(at.elapsed());
            webhooks += 1;
        }
        most = most.max(process::resident(controller.pid()));
    }
    for (manner, receiver) in manners.iter().zip(&receivers) {
        assert!(receiver.requests() > 0, "{manner:?}: no request");
    }
    // A request times out after 10 s, so some have timed out by now.
    until_metric(controller, ATTEMPTS, "outcome=\"timeout\"", 2.0).await;
    let limit = stage.pick(Duration::from_secs(4), Duration::from_secs(2));
    assert!(slowest < limit, "the good receiver waited {slowest:?}");
    let grown = most.saturating_sub(resident) >> 10;
    assert!(grown < 64, "{grown} MiB more memory");
    let flooded = receivers[3].sent.load(Ordering::SeqCst) >> 20;
    let requests: Vec<String> = manners
        .iter()
        .zip(&receivers)
        .map(|(manner, receiver)| format!("{manner:?}: {}", receiver.requests()))
        .collect();
    scene
        .report(
            requests.join(", "),
            format!("the good receiver got {webhooks} webhooks, the slowest after {slowest:.1?}; {grown} MiB more memory ({flooded} MiB flooded); I3"),
            None,
        )
        .await
}

async fn many_rooms_wait_for_hanging_receiver(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let hangs = BadReceiver::start(Manner::Hangs).await;
    let url = hangs.url();
    let replica = scene
        .world
        .replica(|config| add_receiver(config, &url), Vec::new());
    let mut old = std::mem::replace(&mut scene.world.controller, replica);
    old.terminate();
    old.ended(poll::TIMEOUT).await;
    scene.world.controller.until_synced().await;
    // More rooms than concurrent attempts: each has its own queue, and its first delivery hangs for 10 s.
    for _ in 0..stage.pick(100, 300) {
        scene
            .world
            .room(&format!("r{}", uuid::Uuid::new_v4().simple()))
            .await;
    }
    let hanging = hangs.requests();
    let unmutes = async || scene.change_member("unmute").await;
    let took = scene.time_until("conference.member.unmuted", unmutes).await;
    let limit = stage.pick(Duration::from_secs(4), Duration::from_secs(2));
    assert!(
        took < limit,
        "with {hanging} attempts hanging, the good receiver waited {took:?}"
    );
    scene
        .report_without_commands(
            format!("hanging attempts: {hanging}"),
            format!("the good receiver got its webhook after {took:.1?}; I3"),
            None,
        )
        .await
}

/// Apps whose receivers all hang, and the number of receivers of each.
const HANGING_APPS: usize = 10;
const HANGING_RECEIVERS: usize = 16;

/// Creates a room of this app. The key of additional apps is their id.
async fn create_room(controller: &Controller, app: &str, key: &str, node: &str) -> String {
    let name = format!("r{}", uuid::Uuid::new_v4().simple());
    let answer = controller
        .exactly(ApiRequest {
            method: "POST",
            path: "/conferences",
            app: Some(app),
            key: Some(key),
            content_type: Some("application/json"),
            body: Some(json!({ "name": name, "node": node }).to_string()),
            ..ApiRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["room_id"].as_str().unwrap().to_owned()
}

async fn receivers_of_other_apps_hang(stage: &Stage) -> Report {
    /// The maximum wait for a webhook. A slower one counts with this time.
    const MAX_WAIT: Duration = Duration::from_secs(30);

    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let mut receivers = Vec::new();
    let mut more = String::new();
    let hostile: Vec<String> = (0..HANGING_APPS).map(|n| format!("hostile{n}")).collect();
    for app in &hostile {
        more += &format!("[[apps]]\nid = \"{app}\"\napi_key = \"{app}\"\n");
        for _ in 0..HANGING_RECEIVERS {
            let receiver = BadReceiver::start(Manner::Hangs).await;
            more = add_receiver(more, &receiver.url());
            receivers.push(receiver);
        }
    }
    // A second well-behaved app with its own receiver.
    let other = Receiver::start().await;
    more += "[[apps]]\nid = \"other\"\napi_key = \"other\"\n";
    more = add_receiver(more, &other.url);
    let replica = scene.world.replica(|config| config + &more, Vec::new());
    let mut old = std::mem::replace(&mut scene.world.controller, replica);
    old.terminate();
    old.ended(poll::TIMEOUT).await;
    scene.world.controller.until_synced().await;
    let (world, node) = (&scene.world, scene.world.node.clone());
    let controller = &world.controller;

    // Each room has its own queue per receiver of its app.
    for _ in 0..stage.pick(10, 100) {
        for app in &hostile {
            create_room(controller, app, app, &node).await;
        }
    }
    poll::until("receivers hang", poll::TIMEOUT, async || {
        let hanging = receivers.iter().filter(|receiver| receiver.requests() > 0);
        (hanging.count() >= HANGING_APPS).then_some(())
    })
    .await;

    // The hostile apps continue. A hanging attempt ends after 10 s, so the span covers several generations.
    let mut made = Vec::new();
    let start = Instant::now();
    let span = Duration::from_secs(stage.pick(13, 40));
    while start.elapsed() < span {
        let app = &hostile[made.len() % hostile.len()];
        create_room(controller, app, app, &node).await;
        for (app, key, receiver) in [
            (world.app.as_str(), KEY, &world.receiver),
            ("other", "other", &other),
        ] {
            let at = Instant::now();
            made.push((create_room(controller, app, key, &node).await, at, receiver));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut took = Vec::new();
    for (room, at, receiver) in &made {
        let arrived = || {
            let delivered = receiver.delivered(room);
            delivered
                .first()
                .map(|webhook| webhook.at.saturating_duration_since(*at))
        };
        let found = loop {
            match arrived() {
                Some(found) => break found.min(MAX_WAIT),
                None if at.elapsed() >= MAX_WAIT => break MAX_WAIT,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        took.push(found);
    }
    took.sort();
    let p = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let hanging = receivers.iter().filter(|receiver| receiver.requests() > 0);
    let (hanging, attempts) = (
        hanging.count(),
        receivers.iter().map(BadReceiver::requests).sum::<usize>(),
    );
    let waited = format!(
        "{} webhooks of other apps: p50 {:.1?}, p99 {:.1?}, the slowest {:.1?}",
        took.len(),
        p(50),
        p(99),
        p(100)
    );
    // Each hanging attempt occupies a worker for 10 s, so without fair shares most webhooks wait that long. The short
    // form runs beside other rows, so the machine may delay a few of its webhooks.
    let (percentile, limit) =
        stage.pick((50, Duration::from_secs(4)), (99, Duration::from_secs(1)));
    assert!(
        p(percentile) < limit,
        "{hanging} receivers hang ({attempts} attempts); {waited}"
    );
    // Each hanging receiver still gets an attempt.
    poll::until(
        "every receiver has an attempt",
        FIRST_ATTEMPT_TIMEOUT,
        async || {
            let hanging = receivers.iter().filter(|receiver| receiver.requests() > 0);
            (hanging.count() == receivers.len()).then_some(())
        },
    )
    .await;
    until_metric(controller, ATTEMPTS, "outcome=\"timeout\"", 2.0).await;
    let fired = format!("{} receivers hang, {attempts} attempts", receivers.len());
    scene.report(fired, format!("{waited}; I3"), None).await
}

/// Starts a TLS receiver that sends endless informational responses until the test ends. Returns its URL, its
/// certificate and its count of sent bytes.
fn start_hints_with_tls() -> (String, String, Arc<AtomicUsize>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
            let mut request = [0; 4096];
            if !stream.read(&mut request).is_ok_and(|read| read > 0) {
                continue;
            }
            while stream.write_all(HINT).is_ok() {
                count.fetch_add(HINT.len(), Ordering::SeqCst);
            }
        }
    });
    let encoded = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
    let lines = encoded.as_bytes().chunks(64);
    let lines: Vec<&str> = lines.map(|line| str::from_utf8(line).unwrap()).collect();
    let certificate = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    );
    (format!("https://localhost:{port}/hook"), certificate, sent)
}

/// The API's median response time over `count` requests.
async fn median_answer(controller: &Controller, count: usize) -> Duration {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let answer = controller.get("/conferences?limit=1").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        took.push(answer.took);
    }
    took.sort();
    took[count / 2]
}

async fn receivers_send_endless_informational_responses(stage: &Stage) -> Report {
    const PLAIN: usize = 4;

    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let mut receivers = Vec::new();
    for _ in 0..PLAIN {
        receivers.push(BadReceiver::start(Manner::Hints).await);
    }
    let (tls, certificate, sent_with_tls) = start_hints_with_tls();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("certificate.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let urls: Vec<String> = receivers
        .iter()
        .map(BadReceiver::url)
        .chain([tls])
        .collect();
    let replica = scene.world.replica(
        |config| {
            urls.iter()
                .fold(config, |config, url| add_receiver(config, url))
        },
        vec![("SSL_CERT_FILE".to_owned(), trusted.display().to_string())],
    );
    let mut old = std::mem::replace(&mut scene.world.controller, replica);
    old.terminate();
    old.ended(poll::TIMEOUT).await;
    scene.world.controller.until_synced().await;
    let controller = &scene.world.controller;
    let requests = stage.pick(100, 500);
    let quiet = median_answer(controller, requests).await;

    let rooms = stage.pick(3, 10);
    for _ in 0..rooms {
        let name = format!("r{}", uuid::Uuid::new_v4().simple());
        scene.world.room(&name).await;
    }
    let busy = median_answer(controller, requests).await;
    // Each receiver has had an attempt for each room, which the controller ended.
    let attempts = (rooms * (PLAIN + 1)) as f64;
    until_metric(controller, ATTEMPTS, "outcome=\"error\"", attempts).await;
    let limit = quiet * 2 + stage.pick(Duration::from_secs(1), Duration::from_millis(20));
    assert!(
        busy < limit,
        "an answer took {busy:?}, without load {quiet:?}"
    );

    // Every attempt is logged with its error and ended before the request timeout.
    let listed = controller.get("/webhooks").await.body;
    let mut reasons = 0;
    for hook in listed["webhooks"].as_array().unwrap() {
        if !urls.iter().any(|url| hook["url"] == **url) {
            continue;
        }
        let path = format!("/webhooks/{}/deliveries", hook["id"].as_str().unwrap());
        let rows = controller.get(&path).await.body;
        for row in rows["deliveries"].as_array().unwrap() {
            for attempt in row["attempts"].as_array().unwrap() {
                let error = attempt["error"].as_str().unwrap_or_default();
                assert!(error.contains("informational responses"), "{attempt}");
                assert!(attempt["ms"].as_u64().unwrap() < 10_000, "{attempt}");
                reasons += 1;
            }
        }
    }
    assert!(reasons > 0, "{listed}");
    let plain: usize = receivers
        .iter()
        .map(|receiver| receiver.sent.load(Ordering::SeqCst))
        .sum();
    let with_tls = sent_with_tls.load(Ordering::SeqCst);
    assert!(plain > 0 && with_tls > 0, "{plain} {with_tls}");
    scene
        .report(
            format!(
                "{reasons} attempts, {} KiB without TLS, {} KiB with it",
                plain >> 10,
                with_tls >> 10
            ),
            format!("each attempt ended early; an answer of the API took {busy:.1?}, without load {quiet:.1?}; I3"),
            None,
        )
        .await
}

async fn worker_killed_between_post_and_acknowledgement(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let times = stage.pick(1, 3);
    let mut slowest = Duration::ZERO;
    let mut resent = Vec::new();
    for n in 0..times {
        let (command, event) = if n % 2 == 0 {
            ("unmute", "conference.member.unmuted")
        } else {
            ("mute", "conference.member.muted")
        };
        // The receiver has the webhook and delays its answer.
        scene.world.receiver.hold(true);
        let before = scene.world.receiver.all().len();
        scene.change_member(command).await;
        let webhook = poll::until("the webhook arrives", poll::TIMEOUT, async || {
            scene.world.receiver.all().get(before).cloned()
        })
        .await;
        assert_eq!(webhook.event(), event);
        scene.world.controller.kill();
        let start = Instant::now();
        scene.world.receiver.hold(false);
        scene.world.controller.start_again();
        poll::until(
            "the webhook is repeated under its id",
            poll::REDELIVERY,
            async || {
                let all = scene.world.receiver.all();
                (all.iter().filter(|other| other.id == webhook.id).count() >= 2).then_some(())
            },
        )
        .await;
        slowest = slowest.max(start.elapsed());
        resent.push(webhook.id);
        scene.world.controller.until_synced().await;
    }
    let received = WebhookView::from_receiver(&scene.world.receiver);
    assert_eq!(received.resent, resent.len(), "only these are repeated");
    scene
        .report(
            format!("killed after the POST: {times}"),
            "delivered again under the same id; I3 I4",
            Some(slowest),
        )
        .await
}

async fn receiver_at_private_address(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    // The listener that must not get a connection.
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = trap.local_addr().unwrap().port();
    let redirects = BadReceiver::start(Manner::Redirects(port)).await;

    // Private receivers are permitted: the controller does not follow the redirect.
    let first = scene
        .world
        .replica(|config| add_receiver(config, &redirects.url()), Vec::new());
    let mut old = std::mem::replace(&mut scene.world.controller, first);
    old.terminate();
    old.ended(poll::TIMEOUT).await;
    scene.world.controller.until_synced().await;
    scene.check_commands_and_webhooks().await;
    until_metric(&scene.world.controller, ATTEMPTS, "outcome=\"status\"", 1.0).await;
    let redirected = redirects.requests();
    assert!(redirected > 0, "no request was redirected");

    // Private receivers are forbidden: several forms of the address, and names for it.
    let targets = [
        format!("http://127.0.0.1:{port}/hook"),
        format!("http://localhost:{port}/hook"),
        format!("http://2130706433:{port}/hook"),
        format!("http://[::ffff:127.0.0.1]:{port}/hook"),
        format!("http://0.0.0.0:{port}/hook"),
    ];
    let mut refused = 0.0;
    for target in &targets {
        let receiver = &scene.world.receiver.url;
        let mut guarded = scene.world.replica(
            |config| {
                config
                    .replace(
                        "allow_private = true\n[play]",
                        "allow_private = false\n[play]",
                    )
                    .replace(receiver.as_str(), target)
            },
            Vec::new(),
        );
        // A literal private address is a configuration error. A name is refused at the attempt.
        if !guarded.until_listening().await {
            refused += 1.0;
            continue;
        }
        let mut old = std::mem::replace(&mut scene.world.controller, guarded);
        old.terminate();
        old.ended(poll::TIMEOUT).await;
        scene.world.controller.until_synced().await;
        let id = scene.world.member_id(&scene.room, &scene.channel).await;
        for what in ["mute", "unmute", "mute"] {
            scene
                .world
                .fs(&format!("conference {} {what} {id}", scene.room))
                .await;
        }
        let before = refused;
        until_metric(
            &scene.world.controller,
            ATTEMPTS,
            "outcome=\"refused\"",
            1.0,
        )
        .await;
        refused = before
            + scene
                .world
                .controller
                .metric(ATTEMPTS, "outcome=\"refused\"")
                .await;
    }
    let connected = tokio::time::timeout(Duration::from_millis(500), trap.accept()).await;
    assert!(connected.is_err(), "a connection was made: {connected:?}");
    Report {
        fired: format!(
            "redirects: {redirected}, forms of a private address: {}",
            targets.len()
        ),
        held: format!("no connection, {refused} attempts and configurations refused"),
        recovery: None,
        lost: 0,
        resent: 0,
        doubled: 0,
    }
}
