//! Several controllers on one store: one is killed, stopped, cut off, restarted, or has another idea of the time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::program::controller::{Controller, KEY};
use crate::program::pipe::Pipe;
use crate::program::poll;
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage, settles};
use crate::support::process;

rows![
    18 owner_killed,
    19 owner_stopped_past_its_lease,
    20 replicas_apart_and_one_cut_off_from_redis,
    24 clock_jumps_on_one_replica needs a_clock,
    25 rolling_restart_under_load,
];

const COMMITS: &str = "roomkeeper_store_commits_total";

/// Lease and promise are those of the defaults in the long form.
fn setup(stage: &Stage) -> Setup {
    let mut setup = Setup::impatient(Store::Redis);
    setup.lease_ttl = stage.pick(3, 10);
    setup
}

async fn until_owns(controller: &Controller, patience: Duration) {
    poll::until("it reconciles the node", patience, async || {
        controller.owns().await.then_some(())
    })
    .await;
}

/// The epoch of the latest lease: only a change of owner makes it grow.
fn epoch(world: &World) -> u64 {
    let redis = world.redis.as_ref().unwrap();
    redis
        .get(&format!("rk1:{{{}}}:epoch", world.node))
        .unwrap()
        .parse()
        .unwrap()
}

/// Which of these say that they reconcile the node.
async fn owners(controllers: &[&Controller]) -> usize {
    let mut owners = 0;
    for controller in controllers {
        owners += usize::from(controller.owns().await);
    }
    owners
}

/// Changes in FreeSWITCH while nobody may have the node: a member's flag, a hang-up, a call.
async fn something_happens(scene: &Scene) -> String {
    scene.somebody_says("unmute").await;
    scene.hangs_up(&scene.parked).await;
    let placed = scene.world.switch.place_call("1010", PASSWORD).await;
    scene.world.placed(&placed).await
}

async fn is_told(scene: &Scene, new: &str) {
    let receiver = &scene.world.receiver;
    receiver
        .first(&scene.room, "conference.member.unmuted")
        .await;
    receiver.first(&scene.parked, "call.hangup").await;
    receiver.first(new, "call.new").await;
}

async fn owner_killed(stage: &Stage) -> Report {
    let mut scene = stage.scene(setup(stage)).await;
    let other = scene.world.replica(|config| config, Vec::new());
    other.until_ready().await;
    assert!(!other.owns().await, "one has it");
    let before = epoch(&scene.world);
    scene.world.controller.kill();
    let begun = Instant::now();
    let new = something_happens(&scene).await;
    until_owns(&other, poll::PATIENCE).await;
    let taken = begun.elapsed();
    let limit = Duration::from_secs(stage.pick(3, 10) + 2);
    assert!(taken < stage.within(limit), "taken over after {taken:?}");
    is_told(&scene, &new).await;
    let recovery = begun.elapsed();
    assert_eq!(epoch(&scene.world), before + 1);
    // From here on the other one is asked.
    scene.world.controller = other;
    scene
        .report(
            "owner killed: 1",
            format!("taken over in {taken:.1?}, all that happened meanwhile was told; I1 I3 I4"),
            Some(recovery),
        )
        .await
}

async fn owner_stopped_past_its_lease(stage: &Stage) -> Report {
    let mut scene = stage.scene(setup(stage)).await;
    let other = scene.world.replica(|config| config, Vec::new());
    other.until_ready().await;
    let before = epoch(&scene.world);
    let stopped = scene.world.controller.pid();
    process::pause(stopped).await;
    let begun = Instant::now();
    // It will find these when it goes on, and believe that the node is its own.
    let new = something_happens(&scene).await;
    until_owns(&other, poll::PATIENCE).await;
    let taken = begun.elapsed();
    is_told(&scene, &new).await;
    let told = scene.world.receiver.all().len();
    assert_eq!(epoch(&scene.world), before + 1, "the lease has passed on");
    let mut old = std::mem::replace(&mut scene.world.controller, other);
    process::resume(old.pid()).await;
    let begun = Instant::now();
    poll::until(
        "it knows that the node is another's",
        poll::PATIENCE,
        async || (!old.owns().await).then_some(()),
    )
    .await;
    let recovery = begun.elapsed();
    // What it had read and decided was refused, or was never sent: nothing of it is told.
    let refused = old.metric(COMMITS, "outcome=\"lease_lost\"").await;
    let lost = old.log_about(|line| line.contains("does not reconcile the node any more"));
    assert!(!lost.is_empty(), "it has let go");
    assert!(scene.world.controller.owns().await);
    assert_eq!(
        epoch(&scene.world),
        before + 1,
        "the lease stays where it is"
    );
    settles(&scene.world).await;
    assert_eq!(
        scene.world.receiver.all().len(),
        told,
        "nothing was told again"
    );
    let report = scene
        .report(
            "owner stopped past its lease and continued: 1",
            format!(
                "taken over in {taken:.1?}, {} writes of the old epoch refused; I1 I3 I5",
                refused as u64
            ),
            Some(recovery),
        )
        .await;
    old.terminate();
    old.ended(poll::PATIENCE).await;
    report
}

/// The ports on loopback that a process has connected to.
fn connected_to(controller: &Controller) -> Vec<u16> {
    let pid = controller.pid().as_raw_nonzero();
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
    {
        let Ok(link) = std::fs::read_link(entry.path()) else {
            continue;
        };
        let link = link.to_string_lossy().into_owned();
        if let Some(inode) = link.strip_prefix("socket:[") {
            sockets.push(inode.trim_end_matches(']').to_owned());
        }
    }
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(fields.get(2)?.rsplit(':').next()?, 16).ok()?;
            sockets
                .iter()
                .any(|inode| inode == fields[9])
                .then_some(port)
        })
        .collect()
}

async fn replicas_apart_and_one_cut_off_from_redis(stage: &Stage) -> Report {
    let mut scene = stage.scene(setup(stage)).await;
    let redis = scene.world.redis.as_ref().unwrap();
    let pipe = Pipe::start(redis.address()).await;
    let (direct, through) = (redis.url(), format!("redis://{}/", pipe.address));
    // The owner is to be the one that can be cut off.
    let cut_off = scene
        .world
        .replica(|config| config.replace(&direct, &through), Vec::new());
    cut_off.until_ready().await;
    scene.world.controller.terminate();
    scene.world.controller.ended(poll::PATIENCE).await;
    cut_off.until_synced().await;
    scene.world.controller.start_again();
    scene.world.controller.until_ready().await;
    let third = scene.world.replica(|config| config, Vec::new());
    third.until_ready().await;
    let all = [&scene.world.controller, &cut_off, &third];

    // They have no way to each other, and need none: they meet in Redis.
    let ports: Vec<u16> = all.iter().flat_map(|c| c.ports()).collect();
    for controller in all {
        let met: Vec<u16> = connected_to(controller)
            .into_iter()
            .filter(|port| ports.contains(port))
            .collect();
        assert!(
            met.is_empty(),
            "a replica is connected to a replica: {met:?}"
        );
    }
    assert_eq!(owners(&all).await, 1, "one reconciles");
    let sim = scene.world.switch.sim();
    assert_eq!(
        sim.with_core(|core, _| core.listeners().len()),
        4,
        "one for events, three for commands"
    );
    let before = epoch(&scene.world);

    // What the owner writes is on its way for as long as it takes, and longer than its lease.
    pipe.hold(true);
    let begun = Instant::now();
    let new = something_happens(&scene).await;
    poll::until("another one reconciles", poll::PATIENCE, async || {
        (scene.world.controller.owns().await || third.owns().await).then_some(())
    })
    .await;
    let taken = begun.elapsed();
    is_told(&scene, &new).await;
    let held = pipe.held();
    assert!(held > 0, "the owner wrote meanwhile");
    let told = scene.world.receiver.all().len();
    assert_eq!(epoch(&scene.world), before + 1);
    pipe.hold(false);
    let healed = Instant::now();
    poll::until(
        "it knows that the node is another's",
        poll::PATIENCE,
        async || {
            (!cut_off.owns().await && cut_off.operator("/readyz").await?.status == 200)
                .then_some(())
        },
    )
    .await;
    let recovery = healed.elapsed();
    assert_eq!(owners(&all).await, 1, "one reconciles");
    assert_eq!(
        epoch(&scene.world),
        before + 1,
        "what came late took nothing"
    );
    settles(&scene.world).await;
    assert_eq!(
        scene.world.receiver.all().len(),
        told,
        "what came late told nothing"
    );
    scene
        .report(
            format!(
                "no way between 3 replicas; the owner's {held} bytes to Redis held for {:.1?}",
                healed - begun
            ),
            format!("one reconciles, taken over in {taken:.1?}, late writes refused; I1 I3 I5"),
            Some(recovery),
        )
        .await
}

/// Where the library is that gives a process another clock.
fn faketime() -> Option<&'static str> {
    [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib64/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
    ]
    .into_iter()
    .find(|path| std::path::Path::new(path).is_file())
}

fn a_clock() -> Result<(), &'static str> {
    faketime()
        .map(|_| ())
        .ok_or("libfaketime is not installed; tests/run installs it")
}

async fn clock_jumps_on_one_replica(stage: &Stage) -> Report {
    let library = faketime().expect("libfaketime is installed, as by tests/run");
    let mut setup = setup(stage);
    setup.cooldowns = true;
    let mut scene = stage.scene(setup).await;
    let clock = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clock.path(), "+0\n").unwrap();
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", clock.path().to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Only what tells the date jumps, as on a machine whose clock is set.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let jumps = scene.world.replica(|config| config, environment.to_vec());
    jumps.until_ready().await;
    // A receiver refuses what was signed an hour from now, and gets it from another replica; this one shows who sent it.
    scene.world.receiver.take_any_time();
    // It has the node when its clock jumps.
    let mut steady = std::mem::replace(&mut scene.world.controller, jumps);
    steady.terminate();
    steady.ended(poll::PATIENCE).await;
    scene.world.controller.until_synced().await;
    steady.start_again();
    steady.until_ready().await;
    let before = epoch(&scene.world);
    let mut fired = Vec::new();
    let mut slowest = Duration::ZERO;
    let hours: &[i64] = stage.pick(&[1], &[1, 0, -1, 0]);
    for hour in hours {
        // A cooldown is under way over the jump.
        let path = format!("/sessions/{}/commands/conference/unmute", scene.other);
        let begun = Instant::now();
        let answer = scene.world.controller.ask("POST", &path, None).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        std::fs::write(clock.path(), format!("{:+}\n", hour * 3600)).unwrap();
        let path = format!("/sessions/{}/commands/conference/mute", scene.other);
        let early = scene
            .world
            .controller
            .once("POST", &path, None)
            .await
            .unwrap();
        if begun.elapsed() < Duration::from_millis(500) {
            assert_eq!(early.status, 429, "the cooldown holds: {}", early.body);
            let wait = early.body["detail"]["retry_after_ms"].as_u64().unwrap();
            assert!(wait <= 60_000, "{wait} ms");
        }
        let muted = poll::until("the cooldown ends", poll::PATIENCE, async || {
            let answer = scene
                .world
                .controller
                .once("POST", &path, None)
                .await
                .unwrap();
            (answer.status != 429).then_some(answer)
        })
        .await;
        assert_eq!(muted.status, 202, "{}", muted.body);
        slowest = slowest.max(begun.elapsed());
        // What it tells now says another time: the jump did happen.
        let jumped = told_at(&mut scene).await;
        let off = jumped - hour * 3600;
        assert!(off.abs() < 60, "{jumped} s away, not {hour} h");
        fired.push(format!("{hour:+} h"));
        // Over some lives of the lease it stays where it is, and is renewed.
        let lives = Duration::from_secs(stage.pick(3, 10) * 2);
        poll::stays("the lease is renewed", lives, async || {
            scene.world.controller.owns().await && !steady.owns().await
        })
        .await;
        assert_eq!(epoch(&scene.world), before);
    }
    // The steady one takes over like ever.
    scene.world.controller.kill();
    let begun = Instant::now();
    until_owns(&steady, poll::PATIENCE).await;
    let taken = begun.elapsed();
    assert!(
        taken < stage.within(Duration::from_secs(stage.pick(3, 10) + 2)),
        "{taken:?}"
    );
    scene.world.controller = steady;
    scene.world.controller.until_synced().await;
    settles(&scene.world).await;
    scene
        .report_quietly(
            format!("clock of the owner jumped: {}", fired.join(", ")),
            format!("cooldowns as long as ever, the lease kept, then taken over in {taken:.1?}; I1 I3 I5"),
            Some(slowest),
        )
        .await
}

/// How far from now, in seconds, the time is that the owner writes into what it tells of a new room.
async fn told_at(scene: &mut Scene) -> i64 {
    let room = scene
        .world
        .room(&format!("c{}", uuid::Uuid::new_v4().simple()))
        .await;
    let told = scene
        .world
        .receiver
        .first(&room, "conference.created")
        .await;
    let at: jiff::Timestamp = told.body["timestamp"].as_str().unwrap().parse().unwrap();
    at.as_second() - jiff::Timestamp::now().as_second()
}

/// A caller behind a balancer: whoever refuses the connection is not asked, another one is.
struct Balanced {
    client: reqwest::Client,
    ports: Vec<u16>,
    app: String,
}

impl Balanced {
    async fn ask(
        &self,
        first: usize,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        for n in 0..self.ports.len() {
            let port = self.ports[(first + n) % self.ports.len()];
            let url = format!("http://127.0.0.1:{port}/api/v1{path}");
            let mut request = self.client.request(method.parse().unwrap(), url);
            request = request
                .header("X-App-ID", &self.app)
                .header("X-API-Key", KEY);
            if let Some(body) = &body {
                request = request
                    .header("Content-Type", "application/json")
                    .body(body.to_string());
            }
            match request.send().await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let retry_after = answer.headers().contains_key("retry-after");
                    let text = answer.text().await.unwrap();
                    assert!(
                        matches!(status, 200..300 | 409) || (status == 503 && retry_after),
                        "{method} {path}: {status} {text}"
                    );
                    return (status, serde_json::from_str(&text).unwrap_or_default());
                }
                Err(error) if error.is_connect() => {}
                Err(error) => panic!("{method} {path}: {error:?}"),
            }
        }
        panic!("{method} {path}: none of them listens");
    }
}

#[derive(Default)]
struct Load {
    asked: AtomicUsize,
    refused: AtomicUsize,
}

/// One app at work: it makes a room, looks at it, commands its call, and ends the room.
async fn works(
    who: usize,
    session: String,
    balanced: &Balanced,
    load: &Load,
    stop: &CancellationToken,
) {
    let mut n = who;
    let mut ask = async |method: &str, path: String, body: Option<Value>| {
        n += 1;
        loop {
            let (status, answer) = balanced.ask(n, method, &path, body.clone()).await;
            load.asked.fetch_add(1, Ordering::SeqCst);
            if status != 503 {
                return (status, answer);
            }
            load.refused.fetch_add(1, Ordering::SeqCst);
            // It was told when to come back, and is impatient.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    while !stop.is_cancelled() {
        let name = format!("r{}", uuid::Uuid::new_v4().simple());
        let body = json!({ "name": name, "session": session });
        let (status, made) = ask("POST", "/conferences".to_owned(), Some(body)).await;
        // A name that is taken was taken by the request that was told 503: one more room, and all that was said of it.
        let room = match status {
            201 => made["room_id"].as_str().unwrap().to_owned(),
            _ => made["detail"]["room_id"].as_str().unwrap().to_owned(),
        };
        ask("GET", format!("/conferences/{room}"), None).await;
        let commands = format!("/sessions/{session}/commands/conference");
        let join = json!({ "room_id": room });
        ask("POST", format!("{commands}/join"), Some(join)).await;
        for what in ["unmute", "mute"] {
            ask("POST", format!("{commands}/{what}"), Some(json!({}))).await;
        }
        ask("DELETE", format!("/conferences/{room}"), None).await;
        let begun = Instant::now();
        loop {
            let (_, answer) = ask("GET", format!("/sessions/{session}"), None).await;
            if answer["state"] == "parked" {
                break;
            }
            assert!(
                begun.elapsed() < poll::PATIENCE,
                "{room} is deleted, and its call does not come back: {answer}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn rolling_restart_under_load(stage: &Stage) -> Report {
    let mut scene = stage.scene(setup(stage)).await;
    let world = &scene.world;
    let mut others: Vec<Controller> = (0..stage.pick(1, 2))
        .map(|_| world.replica(|config| config, Vec::new()))
        .collect();
    for other in &others {
        other.until_ready().await;
    }
    let mut sessions = Vec::new();
    for n in 0..stage.pick(3, 6) {
        sessions.push(world.call(&format!("6{n:03}")).await);
    }
    let ports = std::iter::once(&world.controller).chain(&others);
    let balanced = Balanced {
        client: reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap(),
        ports: ports.map(Controller::http).collect(),
        app: world.app.clone(),
    };
    let (load, stop) = (Load::default(), CancellationToken::new());
    let working = sessions.iter().enumerate();
    let working =
        working.map(|(who, session)| works(who, session.clone(), &balanced, &load, &stop));
    let all_work = futures_util::future::join_all(working);
    let times = stage.pick(1, 3);
    let mut restarts = 0;
    let begun = Instant::now();
    let rolling = async {
        for _ in 0..times {
            for controller in std::iter::once(&mut scene.world.controller).chain(&mut others) {
                let before = load.asked.load(Ordering::SeqCst);
                poll::until("there is load", poll::PATIENCE, async || {
                    (load.asked.load(Ordering::SeqCst) > before + 50).then_some(())
                })
                .await;
                controller.terminate();
                let status = controller.ended(Duration::from_secs(12)).await;
                assert_eq!(status.code(), Some(0), "it ended in time");
                controller.start_again();
                controller.until_ready().await;
                restarts += 1;
            }
        }
        stop.cancel();
    };
    tokio::join!(all_work, rolling);
    let took = begun.elapsed();
    let (asked, refused) = (load.asked.into_inner(), load.refused.into_inner());
    // Whoever reconciles now, all of them answer the same.
    settles(&scene.world).await;
    scene
        .report(
            format!("restarts under load: {restarts}"),
            format!(
                "{asked} requests, {refused} of them 503 with Retry-After, none worse; I1 I3 I4"
            ),
            Some(took / restarts),
        )
        .await
}
