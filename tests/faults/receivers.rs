//! Receivers that answer badly or not at all, and those that must not be called.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::program::poll;
use crate::program::receiver::SECRET;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Heard, Stage, until_metric};
use crate::support::process;

rows![
    21 receivers_that_fail_hang_drip_or_flood,
    21 many_rooms_wait_for_a_receiver_that_hangs,
    22 worker_killed_between_post_and_acknowledgement,
    23 receiver_at_a_private_address,
];

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
    /// Sends whoever asks elsewhere.
    Redirects(u16),
}

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
