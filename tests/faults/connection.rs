//! The way to a node breaks: cut, swallowed, lossy, out of order, full of garbage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll;
use crate::program::proxy::{Change, Which};
use crate::program::world::{PASSWORD, Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Form, RECONNECTS, RESYNCS, Scene, Stage, told, truth, until_metric};
use crate::support::process;

rows![
    1 event_connection_cut_in_a_frame(real),
    2 event_connection_black_holed(real),
    5 events_silently_dropped(real),
    6 events_reordered_and_duplicated,
    7 snapshot_fails_or_is_cut_short,
    11 garbage_from_the_node,
];

const EVENTS: &str = "connection=\"event\"";
const COMMANDS: &str = "connection=\"command\"";

/// The results of jobs are answers: another connection has them.
fn is_event(message: &str) -> bool {
    message.contains("text/event-plain") && !message.contains("Event-Name: BACKGROUND_JOB\n")
}

/// When the event connection stands again.
async fn reconnected(scene: &Scene) -> Instant {
    poll::until("it has connected again", poll::PATIENCE, async || {
        (scene.proxy.events_carried() == 1).then_some(())
    })
    .await;
    Instant::now()
}

async fn event_connection_cut_in_a_frame(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let controller = &scene.world.controller;
    let times = stage.pick(2, 10);
    let mut slowest = Duration::ZERO;
    for time in 1..=times {
        let before = controller.metric(RECONNECTS, EVENTS).await;
        let room = scene.room.clone();
        let mut torn = false;
        let tears = scene.proxy.change(move |message| {
            if torn || !is_event(message) || !message.contains(&room) {
                return Change::Pass;
            }
            torn = true;
            Change::Tear
        });
        // The event that tells of it is the one that is torn.
        let (does, told) = if time % 2 == 1 {
            ("unmute", "conference.member.unmuted")
        } else {
            ("mute", "conference.member.muted")
        };
        let said = scene.count(told);
        scene.somebody_says(does).await;
        // How long it waits before it connects again grows while connections do not last.
        until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
        let begun = reconnected(&scene).await;
        let receiver = &scene.world.receiver;
        receiver.nth(&scene.room, told, said + 1).await;
        let took = begun.elapsed();
        assert_eq!(tears.hits(), 1, "one event was torn");
        assert!(took < stage.within(Duration::from_secs(3)), "{took:?}");
        slowest = slowest.max(took);
    }
    // A connection that goes while a snapshot is under way takes the fence along: the snapshot must not wait for it.
    let fence = scene
        .proxy
        .hold_events(|event| event.contains("Event-Subclass: roomkeeper%3A%3Afence\n"));
    assert_eq!(scene.proxy.cut(Which::Events), 1);
    fence.until_held("roomkeeper").await;
    fence.lose();
    let before = controller.metric(RECONNECTS, EVENTS).await;
    assert_eq!(
        scene.proxy.cut(Which::Events),
        1,
        "the next one was cut, too"
    );
    let said = scene.count("conference.member.unmuted");
    scene.somebody_says("unmute").await;
    until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
    let begun = reconnected(&scene).await;
    let receiver = &scene.world.receiver;
    receiver
        .nth(&scene.room, "conference.member.unmuted", said + 1)
        .await;
    let took = begun.elapsed();
    assert!(took < stage.within(Duration::from_secs(3)), "{took:?}");
    slowest = slowest.max(took);
    scene
        .next("conference.member.muted", async || {
            scene.somebody_says("mute").await
        })
        .await;

    // What happens while nobody listens is found out as well.
    let cut = scene.proxy.cut(Which::Both);
    assert_eq!(cut, 2, "both connections were cut");
    scene.hangs_up(&scene.parked).await;
    let new = scene.world.call("1009").await;
    // `call.new` can come before FreeSWITCH has parked the call.
    poll::until("the new call is parked", poll::PATIENCE, async || {
        let place = scene.world.place(&new).await;
        (place == ("parked".to_owned(), None)).then_some(())
    })
    .await;
    scene
        .world
        .receiver
        .first(&scene.parked, "call.hangup")
        .await;
    scene
        .report(
            format!("event torn: {times}, fence lost: 1, both connections cut: 1"),
            "resynced within 3 s; I1 I3 I4",
            Some(slowest),
        )
        .await
}

async fn event_connection_black_holed(stage: &Stage) -> Report {
    let mut setup = Setup::impatient(Store::Redis);
    // In the short form the fence of the next snapshot is missed, in the long one HEARTBEAT.
    setup.resync_interval = stage.pick(3, 600);
    setup.command_timeout = stage.pick(1, 5);
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
    // The first snapshot is followed by another one soon, whose fence would be missed, too.
    until_metric(controller, RESYNCS, "", 2.0).await;
    let before = controller.metric(RECONNECTS, EVENTS).await;
    let begun = Instant::now();
    assert_eq!(scene.proxy.swallow(Which::Events), 1, "it was swallowed");
    scene.somebody_says("unmute").await;
    scene.hangs_up(&scene.parked).await;
    until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
    let noticed = begun.elapsed();
    assert!(
        noticed < stage.within(Duration::from_secs(45)),
        "noticed after {noticed:?}"
    );
    scene
        .world
        .receiver
        .first(&scene.room, "conference.member.unmuted")
        .await;
    scene
        .world
        .receiver
        .first(&scene.parked, "call.hangup")
        .await;
    let recovery = begun.elapsed();

    // And the one for commands: whoever asks is told that the outcome is not known, and the next one is served.
    let before = controller.metric(RECONNECTS, COMMANDS).await;
    assert_eq!(scene.proxy.swallow(Which::Commands), 1, "it was swallowed");
    let path = format!("/sessions/{}/commands/conference/mute", scene.session);
    let answer = controller
        .once("POST", &path, Some(&json!({})))
        .await
        .unwrap();
    assert_eq!(answer.status, 504, "{}", answer.body);
    let bound = Duration::from_secs(stage.pick(1, 5));
    assert!(answer.took < stage.within(bound), "{:?}", answer.took);
    until_metric(controller, RECONNECTS, COMMANDS, before + 1.0).await;
    // Whether it is carried out after all is for the deadline, or for the next command, to tell.
    poll::until("the member can be commanded", poll::PATIENCE, async || {
        let answer = controller
            .once("POST", &path, Some(&json!({})))
            .await
            .unwrap();
        matches!(answer.status, 202 | 409).then_some(())
    })
    .await;
    scene
        .world
        .receiver
        .first(&scene.room, "conference.member.muted")
        .await;
    scene
        .report(
            "event connection swallowed: 1, command connection: 1",
            format!(
                "noticed after {noticed:.1?}; 504 in {:.1?}; I1",
                answer.took
            ),
            Some(recovery),
        )
        .await
}

async fn events_silently_dropped(stage: &Stage) -> Report {
    let interval = stage.pick(3, 15);
    let mut setup = Setup::impatient(Store::Redis);
    setup.resync_interval = interval;
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
    let before = controller.metric("roomkeeper_drift_total", "").await;
    let events = stage.pick(60, 300);
    let room = scene.room.clone();
    let channels = [&scene.parked, &scene.other, &scene.session]
        .map(|session| scene.world.channel(session).to_owned());
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let loses = scene.proxy.change(move |message| {
        let about = message.contains(&room)
            || channels
                .iter()
                .any(|channel| message.contains(&format!("Unique-ID: {channel}\n")));
        if is_event(message) && about {
            count.fetch_add(1, Ordering::SeqCst);
            Change::Lose
        } else {
            Change::Pass
        }
    });
    // The last of them leaves the member unmuted.
    let id = scene.world.member_id(&scene.room, &scene.channel).await;
    for n in 0..=events {
        let what = if n % 2 == 0 { "unmute" } else { "mute" };
        let said = scene
            .world
            .fs(&format!("conference {} {what} {id}", scene.room))
            .await;
        assert!(said.contains("OK"), "{said}");
    }
    scene.hangs_up(&scene.other).await;
    scene.hangs_up(&scene.parked).await;
    let begun = Instant::now();
    let left = scene
        .world
        .receiver
        .first(&scene.room, "conference.member.left")
        .await;
    assert!(left.synthesized(), "{}", left.body);
    for session in [&scene.parked, &scene.other] {
        let told = scene.world.receiver.first(session, "call.hangup").await;
        assert!(told.synthesized(), "{}", told.body);
    }
    scene
        .world
        .receiver
        .first(&scene.room, "conference.member.unmuted")
        .await;
    let recovery = begun.elapsed();
    // A third more or less, and the list of channels may be late once.
    let period = Duration::from_secs(u64::from(interval)) * 4 / 3 + Duration::from_secs(3);
    assert!(recovery < stage.within(period), "{recovery:?}");
    let lost = lost.load(Ordering::SeqCst);
    assert!(lost >= events, "{lost} of {events} events were lost");
    drop(loses);
    until_metric(controller, "roomkeeper_drift_total", "", before + 3.0).await;
    poll::until(
        "a snapshot that disagrees is followed by a second one",
        poll::PATIENCE,
        async || {
            let looks = controller.log_about(|line| line.contains("second_look=true"));
            (!looks.is_empty()).then_some(())
        },
    )
    .await;
    scene
        .report(
            format!("events dropped: {lost}"),
            "healed within one resync period, after a second look; I1 I3 I4",
            Some(recovery),
        )
        .await
}

/// Rolls of a die, the same in every run.
struct Dice(u64);

impl Dice {
    fn one_in(&mut self, n: u64) -> bool {
        // xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.is_multiple_of(n)
    }
}

async fn events_reordered_and_duplicated(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let world = &scene.world;
    let (late, twice) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (overtaken, doubled) = (Arc::clone(&late), Arc::clone(&twice));
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    let disorder = scene.proxy.change(move |message| {
        if !is_event(message) || message.contains("roomkeeper%3A%3Afence") {
            return Change::Pass;
        }
        let mut out = Vec::new();
        if dice.one_in(3) && waiting.len() < 8 {
            overtaken.fetch_add(1, Ordering::SeqCst);
            waiting.push(message.as_bytes().to_vec());
        } else {
            out.push(message.as_bytes().to_vec());
            if dice.one_in(3) {
                doubled.fetch_add(1, Ordering::SeqCst);
                out.push(message.as_bytes().to_vec());
            }
            // Those that wait come in another order, too.
            while dice.one_in(2) && !waiting.is_empty() {
                let index = waiting.len() / 2;
                out.push(waiting.swap_remove(index));
            }
        }
        Change::Instead(out)
    });
    let rounds = stage.pick(8, 80);
    for n in 0..rounds {
        let placed = world.switch.place_call(&format!("3{n:03}"), PASSWORD).await;
        let session = world.placed(&placed).await;
        let channel = world.channel(&session).to_owned();
        let join = format!("/sessions/{session}/commands/conference/join");
        let body = json!({ "room_id": scene.room });
        // It is known once one of its events has come through, which may need another to push it.
        poll::until("the call may join", poll::REDELIVERY, async || {
            world
                .fs(&format!("conference {} energy all 300", scene.room))
                .await;
            let answer = world
                .controller
                .once("POST", &join, Some(&body))
                .await
                .unwrap();
            (answer.status == 202).then_some(())
        })
        .await;
        poll::until("the call is in the room", poll::PATIENCE, async || {
            let members = world.switch.members(PASSWORD, &scene.room).await?;
            members
                .iter()
                .any(|(member, _)| *member == channel)
                .then_some(())
        })
        .await;
        let id = world.member_id(&scene.room, &channel).await;
        for what in ["unmute", "mute", "unmute"] {
            world
                .fs(&format!("conference {} {what} {id}", scene.room))
                .await;
        }
        match n % 3 {
            0 => scene.hangs_up(&session).await,
            1 => {
                world
                    .fs(&format!("conference {} kick {id}", scene.room))
                    .await;
            }
            _ => {}
        }
    }
    let (late, twice) = (late.load(Ordering::SeqCst), twice.load(Ordering::SeqCst));
    assert!(
        late > rounds && twice > rounds,
        "{late} late, {twice} doubled"
    );
    let begun = Instant::now();
    // What waits still is pushed out; what it then tells is long past.
    poll::until(
        "nothing is to be said any more",
        poll::PATIENCE,
        async || {
            world
                .fs(&format!("conference {} energy all 400", scene.room))
                .await;
            let (real, told) = (truth(world).await, told(world, &world.controller).await.0);
            (real == told).then_some(())
        },
    )
    .await;
    drop(disorder);
    let recovery = begun.elapsed();
    scene
        .report(
            format!("events overtaken: {late}, doubled: {twice}"),
            "one webhook id a transition, without a snapshot; I1 I3 I4",
            Some(recovery),
        )
        .await
}

/// A message with another body, its lengths put right.
fn with_body(message: &str, body: &str) -> Option<Vec<u8>> {
    let (_, event) = message.split_once("\n\n")?;
    let (headers, _) = event.split_once("\n\n")?;
    let headers: Vec<&str> = headers
        .lines()
        .filter(|line| !line.starts_with("Content-Length: "))
        .collect();
    let event = format!(
        "{}\nContent-Length: {}\n\n{body}",
        headers.join("\n"),
        body.len()
    );
    let head = format!(
        "Content-Length: {}\nContent-Type: text/event-plain\n\n",
        event.len()
    );
    Some([head.into_bytes(), event.into_bytes()].concat())
}

/// The result of a job that lists the calls or the conferences.
fn is_snapshot(message: &str) -> bool {
    message.contains("Event-Name: BACKGROUND_JOB\n")
        && ["Job-Command: show\n", "Job-Command: conference\n"]
            .iter()
            .any(|command| message.contains(command))
}

async fn snapshot_fails_or_is_cut_short(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::impatient(Store::Redis)).await;
    let world = &scene.world;
    let controller = &world.controller;
    let mut kinds = vec!["refused", "cut short", "cut off", "empty"];
    if stage.form == Form::Long {
        kinds.push("timed out");
    }
    let before = truth(world).await;
    let told_before = world.receiver.all().len();
    let mut fired = Vec::new();
    let mut recovery = Duration::ZERO;
    for kind in kinds {
        let failed = "roomkeeper_reconciler_resyncs_failed_total";
        let failures = controller.metric(failed, "").await;
        let breaks = scene.proxy.change(move |message| {
            if !is_snapshot(message) {
                return Change::Pass;
            }
            let instead =
                |body: &str| Change::Instead(with_body(message, body).into_iter().collect());
            match kind {
                "refused" => instead("-ERR no reply\n"),
                "empty" => instead(""),
                "cut short" => {
                    let body = message.rsplit_once("\n\n").map_or("", |(_, body)| body);
                    instead(&body[..body.len() / 2])
                }
                "cut off" => Change::Tear,
                _ => Change::Lose,
            }
        });
        // A connection that was lost is followed by a snapshot.
        assert_eq!(scene.proxy.cut(Which::Events), 1);
        until_metric(controller, failed, "", failures + 1.0).await;
        let hits = breaks.hits();
        assert!(hits > 0, "{kind}: no snapshot was broken");
        fired.push(format!("{kind}: {hits}"));
        assert_eq!(
            told(world, controller).await.0,
            before,
            "{kind}: nothing is deleted"
        );
        let resyncs = controller.metric(RESYNCS, "").await;
        drop(breaks);
        let begun = Instant::now();
        until_metric(controller, RESYNCS, "", resyncs + 1.0).await;
        recovery = recovery.max(begun.elapsed());
    }
    assert_eq!(
        told(world, controller).await.0,
        before,
        "nothing was deleted"
    );
    assert_eq!(world.receiver.all().len(), told_before, "nothing was told");
    scene
        .report(
            format!("snapshots {}", fired.join(", ")),
            "nothing deleted, nothing told; I1",
            Some(recovery),
        )
        .await
}

async fn garbage_from_the_node(stage: &Stage) -> Report {
    let switch = stage.switch().await;
    let mut setup = Setup::impatient(Store::Redis);
    // A proxy that reads messages would have to live with it, too.
    setup.by_way_of = Some(switch.address());
    let scene = stage.scene_on(switch, setup).await;
    let world = &scene.world;
    let controller = &world.controller;
    let sim = world.switch.sim();
    let endless = vec![b'x'; stage.pick(2, 64) << 20];
    let kinds: [(&str, &[u8]); 4] = [
        ("binary", b"\x00\xff\xfe: \x80\n\n\x00\n\n"),
        (
            "a length of 1 GiB",
            b"Content-Length: 1073741824\nContent-Type: text/event-plain\n\n",
        ),
        (
            "a length that is none",
            b"Content-Length: -1\nContent-Type: text/event-plain\n\n",
        ),
        ("an endless header", &endless),
    ];
    let (resident, mut most) = (process::resident(controller.pid()), 0);
    let mut slowest = Duration::ZERO;
    for _ in 0..stage.pick(1, 5) {
        for (kind, bytes) in kinds {
            let before = controller.metric(RECONNECTS, EVENTS).await;
            let resyncs = controller.metric(RESYNCS, "").await;
            let (faults, hit) = (sim.faults().garbage, sim.send_garbage(bytes));
            assert!(hit > 0, "{kind}: nobody listened");
            assert_eq!(sim.faults().garbage, faults + hit as u64);
            // A head that lacks its end is only found out by what follows it.
            let unmutes = async || scene.somebody_says("unmute").await;
            slowest = slowest.max(scene.next("conference.member.unmuted", unmutes).await);
            until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
            until_metric(controller, RESYNCS, "", resyncs + 1.0).await;
            most = most.max(process::resident(controller.pid()));
            let mutes = async || scene.somebody_says("mute").await;
            scene.next("conference.member.muted", mutes).await;
        }
    }
    let bad = controller
        .metric("roomkeeper_esl_bad_frames_total", "")
        .await;
    assert!(bad >= 1.0, "what could not be read is counted: {bad}");
    assert_eq!(
        controller.metric("roomkeeper_task_panics_total", "").await,
        0.0
    );
    let grown = most.saturating_sub(resident);
    assert!(grown < 32 << 10, "it grew by {grown} KiB");
    scene
        .report(
            format!("garbage sent: {}", sim.faults().garbage),
            format!("no panic, {grown} KiB grown, reconnected; I1 I3"),
            Some(slowest),
        )
        .await
}
