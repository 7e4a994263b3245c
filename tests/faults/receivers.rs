//! Receivers that answer badly or not at all, and those that must not be called.

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

use crate::program::controller::{Ask, Controller, KEY};
use crate::program::poll;
use crate::program::receiver::{Receiver, SECRET};
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Heard, Stage, until_metric};
use crate::support::process;

rows![
    21 receivers_that_fail_hang_drip_or_flood,
    21 many_rooms_wait_for_a_receiver_that_hangs,
    22 worker_killed_between_post_and_acknowledgement,
    23 receiver_at_a_private_address,
    28 receivers_of_other_apps_hang(real),
    29 receivers_that_send_informational_responses_without_end,
];

/// A hanging receiver gets its first attempt after two others have had theirs, of 10 s each, at most.
const LONGEST_TURN: Duration = Duration::from_secs(45);

const ATTEMPTS: &str = "roomkeeper_webhook_attempts_total";

/// How a receiver misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// 500, at once.
    Fails,
    /// Takes the request and says nothing.
    Hangs,
    /// A byte of the answer's head now and then, without an end.
    Drips,
    /// 500, and a body of 10 GB.
    Floods,
    /// Informational responses at line rate, without an end.
    Hints,
    /// Sends whoever asks elsewhere.
    Redirects(u16),
}

const HINT: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";

/// A receiver that does not behave.
struct Rude {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rude {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (asks, sends) = (Arc::clone(&asked), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (asks, sends) = (Arc::clone(&asks), Arc::clone(&sends));
                connections.spawn(async move {
                    // However it ends, it is the other side's to notice.
                    let _ = answer(stream, manner, &asks, &sends).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            asked,
            sent,
            task,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

async fn answer(
    mut stream: TcpStream,
    manner: Manner,
    asked: &AtomicUsize,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    while stream.read(&mut bytes).await? > 0 {
        asked.fetch_add(1, Ordering::SeqCst);
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

/// One more receiver of the app.
fn also(config: String, url: &str) -> String {
    // The app's own is the last table but those of other apps and nodes, which these worlds do not have.
    format!("{config}[[apps.webhooks]]\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\n")
}

async fn receivers_that_fail_hang_drip_or_flood(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let rude = [Manner::Fails, Manner::Hangs, Manner::Drips, Manner::Floods];
    let mut receivers = Vec::new();
    for manner in rude {
        receivers.push(Rude::start(manner).await);
    }
    // The program is started again with these receivers beside the good one.
    let urls: Vec<String> = receivers.iter().map(Rude::url).collect();
    let with_rude = scene.world.replica(
        |config| urls.iter().fold(config, |config, url| also(config, url)),
        Vec::new(),
    );
    let mut old = std::mem::replace(&mut scene.world.controller, with_rude);
    old.terminate();
    old.ended(poll::PATIENCE).await;
    scene.world.controller.until_ready().await;
    scene.world.controller.until_synced().await;
    let controller = &scene.world.controller;
    let resident = process::resident(controller.pid());
    let mut most = resident;

    // Everything is told to all five; the good one is not kept waiting by the others.
    let begun = Instant::now();
    let span = Duration::from_secs(stage.pick(13, 60));
    let (mut slowest, mut told, mut rooms) = (Duration::ZERO, 0, 0);
    while begun.elapsed() < span {
        for (does, event) in [
            ("unmute", "conference.member.unmuted"),
            ("mute", "conference.member.muted"),
        ] {
            slowest = slowest.max(
                scene
                    .next(event, async || scene.somebody_says(does).await)
                    .await,
            );
            told += 1;
        }
        // A room of its own is a queue of its own at each receiver. As many as there are attempts at a time are not made.
        if begun.elapsed() >= Duration::from_secs(rooms * stage.pick(1, 4)) {
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
            told += 1;
        }
        most = most.max(process::resident(controller.pid()));
    }
    for (manner, receiver) in rude.iter().zip(&receivers) {
        assert!(receiver.asked() > 0, "{manner:?}: nobody asked");
    }
    // A request has 10 s: by now some have been given up.
    until_metric(controller, ATTEMPTS, "outcome=\"timeout\"", 2.0).await;
    let limit = stage.pick(Duration::from_secs(4), Duration::from_secs(2));
    assert!(slowest < limit, "the good receiver waited {slowest:?}");
    let grown = most.saturating_sub(resident) >> 10;
    assert!(grown < 64, "{grown} MiB grown");
    let flooded = receivers[3].sent.load(Ordering::SeqCst) >> 20;
    let asked: Vec<String> = rude
        .iter()
        .zip(&receivers)
        .map(|(manner, receiver)| format!("{manner:?}: {}", receiver.asked()))
        .collect();
    scene
        .report(
            asked.join(", "),
            format!("a good receiver had {told} messages, the slowest after {slowest:.1?}; {grown} MiB grown ({flooded} MiB were sent at it); I3"),
            None,
        )
        .await
}

async fn many_rooms_wait_for_a_receiver_that_hangs(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let hangs = Rude::start(Manner::Hangs).await;
    let url = hangs.url();
    let beside = scene.world.replica(|config| also(config, &url), Vec::new());
    let mut old = std::mem::replace(&mut scene.world.controller, beside);
    old.terminate();
    old.ended(poll::PATIENCE).await;
    scene.world.controller.until_synced().await;
    // More than there are attempts at a time: each room is a queue of its own, and its head hangs for 10 s.
    for _ in 0..stage.pick(100, 300) {
        scene
            .world
            .room(&format!("r{}", uuid::Uuid::new_v4().simple()))
            .await;
    }
    let hanging = hangs.asked();
    let unmutes = async || scene.somebody_says("unmute").await;
    let took = scene.next("conference.member.unmuted", unmutes).await;
    let limit = stage.pick(Duration::from_secs(4), Duration::from_secs(2));
    assert!(
        took < limit,
        "with {hanging} attempts hanging, the good receiver waited {took:?}"
    );
    scene
        .report_quietly(
            format!("attempts that hang: {hanging}"),
            format!("the good receiver had its message after {took:.1?}; I3"),
            None,
        )
        .await
}

/// Apps whose receivers all hang, and how many receivers each has.
const HANGING_APPS: usize = 10;
const HANGING_RECEIVERS: usize = 16;

/// Makes a room of this app. Other apps than the world's own have their id as their key.
async fn make_room(controller: &Controller, app: &str, key: &str, node: &str) -> String {
    let name = format!("r{}", uuid::Uuid::new_v4().simple());
    let answer = controller
        .exactly(Ask {
            method: "POST",
            path: "/conferences",
            app: Some(app),
            key: Some(key),
            content_type: Some("application/json"),
            body: Some(json!({ "name": name, "node": node }).to_string()),
            ..Ask::default()
        })
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["room_id"].as_str().unwrap().to_owned()
}

async fn receivers_of_other_apps_hang(stage: &Stage) -> Report {
    /// A webhook that takes longer than this counts as this.
    const GIVEN_UP: Duration = Duration::from_secs(30);

    let mut scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let mut receivers = Vec::new();
    let mut more = String::new();
    let hostile: Vec<String> = (0..HANGING_APPS).map(|n| format!("hostile{n}")).collect();
    for app in &hostile {
        more += &format!("[[apps]]\nid = \"{app}\"\napi_key = \"{app}\"\n");
        for _ in 0..HANGING_RECEIVERS {
            let receiver = Rude::start(Manner::Hangs).await;
            more = also(more, &receiver.url());
            receivers.push(receiver);
        }
    }
    // A second app that behaves, with a receiver of its own.
    let other = Receiver::start().await;
    more += "[[apps]]\nid = \"other\"\napi_key = \"other\"\n";
    more = also(more, &other.url);
    let beside = scene.world.replica(|config| config + &more, Vec::new());
    let mut old = std::mem::replace(&mut scene.world.controller, beside);
    old.terminate();
    old.ended(poll::PATIENCE).await;
    scene.world.controller.until_synced().await;
    let (world, node) = (&scene.world, scene.world.node.clone());
    let controller = &world.controller;

    // Each room is a queue of its own at each receiver of its app.
    for _ in 0..stage.pick(10, 100) {
        for app in &hostile {
            make_room(controller, app, app, &node).await;
        }
    }
    poll::until("receivers hang", poll::PATIENCE, async || {
        let asked = receivers.iter().filter(|receiver| receiver.asked() > 0);
        (asked.count() >= HANGING_APPS).then_some(())
    })
    .await;

    // The hostile apps go on meanwhile. A hanging attempt ends after 10 s, so this sees several generations of them.
    let mut made = Vec::new();
    let begun = Instant::now();
    let span = Duration::from_secs(stage.pick(13, 40));
    while begun.elapsed() < span {
        let app = &hostile[made.len() % hostile.len()];
        make_room(controller, app, app, &node).await;
        for (app, key, receiver) in [
            (world.app.as_str(), KEY, &world.receiver),
            ("other", "other", &other),
        ] {
            let at = Instant::now();
            made.push((make_room(controller, app, key, &node).await, at, receiver));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut took = Vec::new();
    for (room, at, receiver) in &made {
        let arrived = || {
            let told = receiver.delivered(room);
            told.first()
                .map(|got| got.at.saturating_duration_since(*at))
        };
        let found = loop {
            match arrived() {
                Some(found) => break found.min(GIVEN_UP),
                None if at.elapsed() >= GIVEN_UP => break GIVEN_UP,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        took.push(found);
    }
    took.sort();
    let p = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let asked = receivers.iter().filter(|receiver| receiver.asked() > 0);
    let (asked, tries) = (
        asked.count(),
        receivers.iter().map(Rude::asked).sum::<usize>(),
    );
    let waited = format!(
        "{} webhooks of other apps: p50 {:.1?}, p99 {:.1?}, the slowest {:.1?}",
        took.len(),
        p(50),
        p(99),
        p(100)
    );
    // Each hanging attempt holds its place for 10 s, so without fair shares most webhooks wait for that long. The short
    // form runs beside other rows: a few of its webhooks may wait for the machine.
    let (percentile, limit) =
        stage.pick((50, Duration::from_secs(4)), (99, Duration::from_secs(1)));
    assert!(
        p(percentile) < limit,
        "{asked} receivers hang ({tries} attempts); {waited}"
    );
    // Those that hang are tried all the same: each of them, in its turn.
    poll::until("every receiver is tried", LONGEST_TURN, async || {
        let asked = receivers.iter().filter(|receiver| receiver.asked() > 0);
        (asked.count() == receivers.len()).then_some(())
    })
    .await;
    until_metric(controller, ATTEMPTS, "outcome=\"timeout\"", 2.0).await;
    let fired = format!("{} receivers hang, {tries} attempts", receivers.len());
    scene.report(fired, format!("{waited}; I3"), None).await
}

/// A receiver with TLS that sends informational responses without an end, for as long as the test runs: its URL, its
/// certificate, and how many bytes it has sent.
fn hints_with_tls() -> (String, String, Arc<AtomicUsize>) {
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

/// How long the API takes to answer: the median of so many requests.
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

async fn receivers_that_send_informational_responses_without_end(stage: &Stage) -> Report {
    const PLAIN: usize = 4;

    let mut scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let mut receivers = Vec::new();
    for _ in 0..PLAIN {
        receivers.push(Rude::start(Manner::Hints).await);
    }
    let (tls, certificate, sent_with_tls) = hints_with_tls();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("certificate.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let urls: Vec<String> = receivers.iter().map(Rude::url).chain([tls]).collect();
    let beside = scene.world.replica(
        |config| urls.iter().fold(config, |config, url| also(config, url)),
        vec![("SSL_CERT_FILE".to_owned(), trusted.display().to_string())],
    );
    let mut old = std::mem::replace(&mut scene.world.controller, beside);
    old.terminate();
    old.ended(poll::PATIENCE).await;
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
    // Each receiver has answered for each room, as far as it was let.
    let attempts = (rooms * (PLAIN + 1)) as f64;
    until_metric(controller, ATTEMPTS, "outcome=\"error\"", attempts).await;
    let limit = quiet * 2 + stage.pick(Duration::from_secs(1), Duration::from_millis(20));
    assert!(busy < limit, "an answer took {busy:?}, before {quiet:?}");

    // Every attempt is in the log with its reason, and took less than a request may.
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
            format!("each attempt ended at once; an answer of the API took {busy:.1?}, before {quiet:.1?}; I3"),
            None,
        )
        .await
}

async fn worker_killed_between_post_and_acknowledgement(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let times = stage.pick(1, 3);
    let mut slowest = Duration::ZERO;
    let mut resent = Vec::new();
    for n in 0..times {
        let (does, event) = if n % 2 == 0 {
            ("unmute", "conference.member.unmuted")
        } else {
            ("mute", "conference.member.muted")
        };
        // It has the message, and takes its time to say so.
        scene.world.receiver.hold(true);
        let before = scene.world.receiver.all().len();
        scene.somebody_says(does).await;
        let got = poll::until("the message arrives", poll::PATIENCE, async || {
            scene.world.receiver.all().get(before).cloned()
        })
        .await;
        assert_eq!(got.event(), event);
        scene.world.controller.kill();
        let begun = Instant::now();
        scene.world.receiver.hold(false);
        scene.world.controller.start_again();
        poll::until(
            "it comes again under its id",
            poll::REDELIVERY,
            async || {
                let all = scene.world.receiver.all();
                (all.iter().filter(|other| other.id == got.id).count() >= 2).then_some(())
            },
        )
        .await;
        slowest = slowest.max(begun.elapsed());
        resent.push(got.id);
        scene.world.controller.until_synced().await;
    }
    let heard = Heard::from(&scene.world.receiver);
    assert_eq!(heard.resent, resent.len(), "these came twice, and no other");
    scene
        .report(
            format!("killed after the POST: {times}"),
            "delivered again under the same id; I3 I4",
            Some(slowest),
        )
        .await
}

async fn receiver_at_a_private_address(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::impatient(Store::Redis)).await;
    // Where nobody may be led to.
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = trap.local_addr().unwrap().port();
    let redirects = Rude::start(Manner::Redirects(port)).await;

    // The redirect, where private receivers are allowed: it is not followed.
    let first = scene
        .world
        .replica(|config| also(config, &redirects.url()), Vec::new());
    let mut old = std::mem::replace(&mut scene.world.controller, first);
    old.terminate();
    old.ended(poll::PATIENCE).await;
    scene.world.controller.until_synced().await;
    scene.works().await;
    until_metric(&scene.world.controller, ATTEMPTS, "outcome=\"status\"", 1.0).await;
    let redirected = redirects.asked();
    assert!(redirected > 0, "it was redirected");

    // The address itself, in several forms, and names of it, where they are not allowed.
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
        // An address that can be seen to be private is a mistake in the configuration; a name is found out later.
        if !guarded.starts().await {
            refused += 1.0;
            continue;
        }
        let mut old = std::mem::replace(&mut scene.world.controller, guarded);
        old.terminate();
        old.ended(poll::PATIENCE).await;
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
    assert!(connected.is_err(), "somebody connected: {connected:?}");
    Report {
        fired: format!(
            "redirects: {redirected}, forms of a private address: {}",
            targets.len()
        ),
        held: format!("no connection made, {refused} attempts and configurations refused"),
        recovery: None,
        lost: 0,
        resent: 0,
        doubled: 0,
    }
}
