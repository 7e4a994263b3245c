//! Several controllers on one store: one is killed, stopped, cut off, restarted, or has another idea of the time.

use std::time::{Duration, Instant};

use crate::program::controller::Controller;
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
];

const COMMITS: &str = "roomkeeper_store_commits_total";

/// Lease and promise are those of the defaults in the long form.
fn setup(stage: &Stage) -> Setup {
    let mut setup = Setup::on(Store::Redis);
    setup.lease_ttl = stage.pick(2, 10);
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
    let limit = Duration::from_secs(stage.pick(2, 10) + 2);
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

/// What a process has connected to, by port on loopback.
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
        let lives = Duration::from_secs(stage.pick(2, 10) * 2);
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
        taken < stage.within(Duration::from_secs(stage.pick(2, 10) + 2)),
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
