//! Faults of one of several replicas on one store: killed, stopped, disconnected, restarted, with a wrong clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::program::controller::{Controller, KEY};
use crate::program::pipe::Pipe;
use crate::program::poll;
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage, until_consistent};
use crate::support::process;

rows![
    18 owner_killed,
    19 owner_stopped_past_its_lease,
    20 replicas_isolated_and_owner_loses_redis,
    24 clock_jumps_on_one_replica needs libfaketime,
    25 rolling_restart_under_load,
];

const COMMITS: &str = "roomkeeper_store_commits_total";

/// Settings with the default lease in the long form.
fn setup(stage: &Stage) -> Setup {
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.lease_ttl = stage.pick(3, 10);
    setup
}

async fn until_owns(controller: &Controller, timeout: Duration) {
    poll::until("the replica owns the node", timeout, async || {
        controller.owns().await.then_some(())
    })
    .await;
}

/// The epoch of the latest lease. Only a new owner increases it.
fn epoch(world: &World) -> u64 {
    let redis = world.redis.as_ref().unwrap();
    redis
        .get(&format!("rk1:{{{}}}:epoch", world.node))
        .unwrap()
        .parse()
        .unwrap()
}

/// The number of controllers that report to own the node.
async fn count_owners(controllers: &[&Controller]) -> usize {
    let mut owners = 0;
    for controller in controllers {
        owners += usize::from(controller.owns().await);
    }
    owners
}

/// Makes changes in FreeSWITCH while no replica may own the node: a flag, a hang-up, a new call. Returns the new call.
async fn make_changes(scene: &Scene) -> String {
    scene.change_member("unmute").await;
    scene.hang_up(&scene.parked).await;
    let placed = scene.world.switch.place_call("1010", PASSWORD).await;
    scene.world.placed_call_id(&placed).await
}

/// Waits for the webhooks of [`make_changes`].
async fn until_changes_reported(scene: &Scene, new: &str) {
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
    assert!(!other.owns().await, "both replicas own the node");
    let before = epoch(&scene.world);
    scene.world.controller.kill();
    let start = Instant::now();
    let new = make_changes(&scene).await;
    until_owns(&other, poll::TIMEOUT).await;
    let taken = start.elapsed();
    let limit = Duration::from_secs(stage.pick(3, 10) + 2);
    assert!(taken < stage.within(limit), "taken over after {taken:?}");
    until_changes_reported(&scene, &new).await;
    let recovery = start.elapsed();
    assert_eq!(epoch(&scene.world), before + 1);
    // The remaining checks use the new owner.
    scene.world.controller = other;
    scene
        .report(
            "owner killed: 1",
            format!("taken over in {taken:.1?}, all changes meanwhile reported; I1 I3 I4"),
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
    let start = Instant::now();
    // The stopped owner receives these events when it continues, and still considers itself the owner.
    let new = make_changes(&scene).await;
    until_owns(&other, poll::TIMEOUT).await;
    let taken = start.elapsed();
    until_changes_reported(&scene, &new).await;
    let webhooks = scene.world.receiver.all().len();
    assert_eq!(
        epoch(&scene.world),
        before + 1,
        "the lease has one new owner"
    );
    let mut old = std::mem::replace(&mut scene.world.controller, other);
    process::resume(old.pid()).await;
    let start = Instant::now();
    poll::until(
        "the old owner knows that it lost the node",
        poll::TIMEOUT,
        async || (!old.owns().await).then_some(()),
    )
    .await;
    let recovery = start.elapsed();
    // Its pending changes were refused or never sent, so no webhook reports them.
    let refused = old.metric(COMMITS, "outcome=\"lease_lost\"").await;
    let lost = old.log_about(|line| line.contains("does not reconcile the node any more"));
    assert!(!lost.is_empty(), "the old owner has not released the node");
    assert!(scene.world.controller.owns().await);
    assert_eq!(epoch(&scene.world), before + 1, "the owner has changed");
    until_consistent(&scene.world).await;
    assert_eq!(
        scene.world.receiver.all().len(),
        webhooks,
        "a change was reported again"
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
    old.ended(poll::TIMEOUT).await;
    report
}

/// The ports to which a process is connected.
fn connected_ports(controller: &Controller) -> Vec<u16> {
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

async fn replicas_isolated_and_owner_loses_redis(stage: &Stage) -> Report {
    let mut scene = stage.scene(setup(stage)).await;
    let redis = scene.world.redis.as_ref().unwrap();
    let pipe = Pipe::start(redis.address()).await;
    let (direct, through) = (redis.url(), format!("redis://{}/", pipe.address));
    // The owner must be the replica behind the pipe.
    let cut_off = scene
        .world
        .replica(|config| config.replace(&direct, &through), Vec::new());
    cut_off.until_ready().await;
    scene.world.controller.terminate();
    scene.world.controller.ended(poll::TIMEOUT).await;
    cut_off.until_synced().await;
    scene.world.controller.start_again();
    scene.world.controller.until_ready().await;
    let third = scene.world.replica(|config| config, Vec::new());
    third.until_ready().await;
    let all = [&scene.world.controller, &cut_off, &third];

    // Replicas do not connect to each other. They only share Redis.
    let ports: Vec<u16> = all.iter().flat_map(|c| c.ports()).collect();
    for controller in all {
        let shared: Vec<u16> = connected_ports(controller)
            .into_iter()
            .filter(|port| ports.contains(port))
            .collect();
        assert!(
            shared.is_empty(),
            "a replica is connected to a replica: {shared:?}"
        );
    }
    assert_eq!(count_owners(&all).await, 1, "the number of owners");
    let sim = scene.world.switch.sim();
    assert_eq!(
        sim.with_core(|core, _| core.listeners().len()),
        4,
        "one event connection, three command connections"
    );
    let before = epoch(&scene.world);

    // The pipe delays the owner's writes for longer than its lease.
    pipe.hold(true);
    let start = Instant::now();
    let new = make_changes(&scene).await;
    poll::until("another replica owns the node", poll::TIMEOUT, async || {
        (scene.world.controller.owns().await || third.owns().await).then_some(())
    })
    .await;
    let taken = start.elapsed();
    until_changes_reported(&scene, &new).await;
    let held = pipe.held();
    assert!(held > 0, "the pipe holds no bytes of the owner");
    let webhooks = scene.world.receiver.all().len();
    assert_eq!(epoch(&scene.world), before + 1);
    pipe.hold(false);
    let healed = Instant::now();
    poll::until(
        "the old owner knows that it lost the node",
        poll::TIMEOUT,
        async || {
            (!cut_off.owns().await && cut_off.operator("/readyz").await?.status == 200)
                .then_some(())
        },
    )
    .await;
    let recovery = healed.elapsed();
    assert_eq!(count_owners(&all).await, 1, "the number of owners");
    assert_eq!(
        epoch(&scene.world),
        before + 1,
        "a late write changed the owner"
    );
    until_consistent(&scene.world).await;
    assert_eq!(
        scene.world.receiver.all().len(),
        webhooks,
        "a late write caused a webhook"
    );
    scene
        .report(
            format!(
                "no connection between 3 replicas; the owner's {held} bytes to Redis held for {:.1?}",
                healed - start
            ),
            format!("one owner, taken over in {taken:.1?}, late writes refused; I1 I3 I5"),
            Some(recovery),
        )
        .await
}

/// The path of the library that fakes a process's clock.
fn faketime_path() -> Option<&'static str> {
    [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib64/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
    ]
    .into_iter()
    .find(|path| std::path::Path::new(path).is_file())
}

fn libfaketime() -> Result<(), &'static str> {
    faketime_path()
        .map(|_| ())
        .ok_or("libfaketime is not installed; tests/run installs it")
}

async fn clock_jumps_on_one_replica(stage: &Stage) -> Report {
    let library = faketime_path().expect("libfaketime, which tests/run installs");
    let mut setup = setup(stage);
    setup.cooldowns = true;
    let mut scene = stage.scene(setup).await;
    let clock = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clock.path(), "+0\n").unwrap();
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", clock.path().to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Only the wall clock jumps, as on a machine whose clock is set.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let jumps = scene.world.replica(|config| config, environment.to_vec());
    jumps.until_ready().await;
    // A normal receiver refuses a wrong timestamp, and another replica delivers again. This one accepts it and so shows
    // whose clock it is.
    scene.world.receiver.accept_any_timestamp();
    // The replica owns the node when its clock jumps.
    let mut steady = std::mem::replace(&mut scene.world.controller, jumps);
    steady.terminate();
    steady.ended(poll::TIMEOUT).await;
    scene.world.controller.until_synced().await;
    steady.start_again();
    steady.until_ready().await;
    let before = epoch(&scene.world);
    let mut fired = Vec::new();
    let mut slowest = Duration::ZERO;
    let hours: &[i64] = stage.pick(&[1], &[1, 0, -1, 0]);
    for hour in hours {
        // A cooldown is active during the jump.
        let path = format!("/sessions/{}/commands/conference/unmute", scene.other);
        let start = Instant::now();
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
        if start.elapsed() < Duration::from_millis(500) {
            assert_eq!(early.status, 429, "the cooldown is active: {}", early.body);
            let wait = early.body["detail"]["retry_after_ms"].as_u64().unwrap();
            assert!(wait <= 60_000, "{wait} ms");
        }
        let muted = poll::until("the cooldown ends", poll::TIMEOUT, async || {
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
        slowest = slowest.max(start.elapsed());
        // The webhook's timestamp proves the jump.
        let offset = clock_offset(&mut scene).await;
        let error = offset - hour * 3600;
        assert!(error.abs() < 60, "the offset is {offset} s, not {hour} h");
        fired.push(format!("{hour:+} h"));
        // The owner renews the lease for twice its duration.
        let span = Duration::from_secs(stage.pick(3, 10) * 2);
        poll::stays("the lease is renewed", span, async || {
            scene.world.controller.owns().await && !steady.owns().await
        })
        .await;
        assert_eq!(epoch(&scene.world), before);
    }
    // The other replica takes over as usual.
    scene.world.controller.kill();
    let start = Instant::now();
    until_owns(&steady, poll::TIMEOUT).await;
    let taken = start.elapsed();
    assert!(
        taken < stage.within(Duration::from_secs(stage.pick(3, 10) + 2)),
        "{taken:?}"
    );
    scene.world.controller = steady;
    scene.world.controller.until_synced().await;
    until_consistent(&scene.world).await;
    scene
        .report_without_commands(
            format!("clock of the owner jumped: {}", fired.join(", ")),
            format!(
                "cooldowns unchanged, the lease kept, then taken over in {taken:.1?}; I1 I3 I5"
            ),
            Some(slowest),
        )
        .await
}

/// The offset of the owner's clock in seconds, from the webhook about a new room.
async fn clock_offset(scene: &mut Scene) -> i64 {
    let room = scene
        .world
        .room(&format!("c{}", uuid::Uuid::new_v4().simple()))
        .await;
    let created = scene
        .world
        .receiver
        .first(&room, "conference.created")
        .await;
    let at: jiff::Timestamp = created.body["timestamp"].as_str().unwrap().parse().unwrap();
    at.as_second() - jiff::Timestamp::now().as_second()
}

/// A client of a load balancer, which skips replicas that refuse the connection.
struct BalancedClient {
    client: reqwest::Client,
    ports: Vec<u16>,
    app: String,
}

impl BalancedClient {
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
        panic!("{method} {path}: no replica listens");
    }
}

#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    refused: AtomicUsize,
}

/// Simulates an app: it creates a room, reads it, sends commands to its call, and deletes the room.
async fn run_app(
    index: usize,
    call: String,
    balanced: &BalancedClient,
    load: &Load,
    stop: &CancellationToken,
) {
    let mut n = index;
    let mut ask = async |method: &str, path: String, body: Option<Value>| {
        n += 1;
        loop {
            let (status, answer) = balanced.ask(n, method, &path, body.clone()).await;
            load.requests.fetch_add(1, Ordering::SeqCst);
            if status != 503 {
                return (status, answer);
            }
            load.refused.fetch_add(1, Ordering::SeqCst);
            // Earlier than Retry-After, to increase the load.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    while !stop.is_cancelled() {
        let name = format!("r{}", uuid::Uuid::new_v4().simple());
        let body = json!({ "name": name, "session": call });
        let (status, made) = ask("POST", "/conferences".to_owned(), Some(body)).await;
        // 409: the room exists, because an earlier request got 503 and created it.
        let room = match status {
            201 => made["room_id"].as_str().unwrap().to_owned(),
            _ => made["detail"]["room_id"].as_str().unwrap().to_owned(),
        };
        ask("GET", format!("/conferences/{room}"), None).await;
        let commands = format!("/sessions/{call}/commands/conference");
        let join = json!({ "room_id": room });
        ask("POST", format!("{commands}/join"), Some(join)).await;
        for command in ["unmute", "mute"] {
            ask("POST", format!("{commands}/{command}"), Some(json!({}))).await;
        }
        ask("DELETE", format!("/conferences/{room}"), None).await;
        let start = Instant::now();
        loop {
            let (_, answer) = ask("GET", format!("/sessions/{call}"), None).await;
            if answer["state"] == "parked" {
                break;
            }
            assert!(
                start.elapsed() < poll::TIMEOUT,
                "{room} is deleted, and its call is not parked: {answer}"
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
    let mut calls = Vec::new();
    for n in 0..stage.pick(3, 6) {
        calls.push(world.call(&format!("6{n:03}")).await);
    }
    let ports = std::iter::once(&world.controller).chain(&others);
    let balanced = BalancedClient {
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
    let apps = calls.iter().enumerate();
    let apps = apps.map(|(index, call)| run_app(index, call.clone(), &balanced, &load, &stop));
    let all_work = futures_util::future::join_all(apps);
    let times = stage.pick(1, 3);
    let mut restarts = 0;
    let start = Instant::now();
    let rolling = async {
        for _ in 0..times {
            for controller in std::iter::once(&mut scene.world.controller).chain(&mut others) {
                let before = load.requests.load(Ordering::SeqCst);
                poll::until("there is load", poll::TIMEOUT, async || {
                    (load.requests.load(Ordering::SeqCst) > before + 50).then_some(())
                })
                .await;
                controller.terminate();
                let status = controller.ended(Duration::from_secs(12)).await;
                assert_eq!(status.code(), Some(0), "the exit code");
                controller.start_again();
                controller.until_ready().await;
                restarts += 1;
            }
        }
        stop.cancel();
    };
    tokio::join!(all_work, rolling);
    let took = start.elapsed();
    let (requests, refused) = (load.requests.into_inner(), load.refused.into_inner());
    // All replicas give the same answers, whichever owns the node.
    until_consistent(&scene.world).await;
    scene
        .report(
            format!("restarts under load: {restarts}"),
            format!(
                "{requests} requests, {refused} of them 503 with Retry-After, no other error; I1 I3 I4"
            ),
            Some(took / restarts),
        )
        .await
}
