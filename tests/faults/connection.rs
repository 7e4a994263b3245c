//! Faults of the connection to a node: cut, black-holed, lossy, out of order, garbage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll;
use crate::program::proxy::{Change, Which};
use crate::program::world::{PASSWORD, Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{
    Form, RECONNECTS, RESYNCS, Scene, Stage, api_view, freeswitch_view, until_metric,
};
use crate::support::process;

rows![
    1 event_connection_cut_in_a_frame(real),
    2 event_connection_black_holed(real),
    5 events_silently_dropped(real),
    6 events_reordered_and_duplicated,
    7 snapshot_fails_or_is_truncated,
    11 garbage_from_the_node,
];

const EVENTS: &str = "connection=\"event\"";
const COMMANDS: &str = "connection=\"command\"";

/// True for an event other than a job's result, which belongs to a command.
fn is_event(message: &str) -> bool {
    message.contains("text/event-plain") && !message.contains("Event-Name: BACKGROUND_JOB\n")
}

/// Waits until the event connection is open again. Returns that time.
async fn until_reconnected(scene: &Scene) -> Instant {
    poll::until(
        "the event connection is open again",
        poll::TIMEOUT,
        async || (scene.proxy.open_event_connections() == 1).then_some(()),
    )
    .await;
    Instant::now()
}

async fn event_connection_cut_in_a_frame(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
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
        // The proxy tears the event of this change.
        let (command, event) = if time % 2 == 1 {
            ("unmute", "conference.member.unmuted")
        } else {
            ("mute", "conference.member.muted")
        };
        let before_fault = scene.count(event);
        scene.change_member(command).await;
        // The backoff grows while connections are short.
        until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
        let start = until_reconnected(&scene).await;
        let receiver = &scene.world.receiver;
        receiver.nth(&scene.room, event, before_fault + 1).await;
        let took = start.elapsed();
        assert_eq!(tears.hits(), 1, "the number of torn events");
        assert!(took < stage.within(Duration::from_secs(3)), "{took:?}");
        slowest = slowest.max(took);
    }
    // A connection that closes during a snapshot loses the fence. The snapshot must not wait for it.
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
        "the next connection is not open"
    );
    let before_fault = scene.count("conference.member.unmuted");
    scene.change_member("unmute").await;
    until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
    let start = until_reconnected(&scene).await;
    let receiver = &scene.world.receiver;
    receiver
        .nth(&scene.room, "conference.member.unmuted", before_fault + 1)
        .await;
    let took = start.elapsed();
    assert!(took < stage.within(Duration::from_secs(3)), "{took:?}");
    slowest = slowest.max(took);
    scene
        .time_until("conference.member.muted", async || {
            scene.change_member("mute").await
        })
        .await;

    // The next snapshot reveals changes without a connection.
    let cut = scene.proxy.cut(Which::Both);
    assert_eq!(cut, 2, "the number of cut connections");
    scene.hang_up(&scene.parked).await;
    let new = scene.world.call("1009").await;
    // `call.new` can come before FreeSWITCH has parked the call.
    poll::until("the new call is parked", poll::TIMEOUT, async || {
        let place = scene.world.call_state(&new).await;
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
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    // In the short form the next snapshot's fence is missing, in the long form HEARTBEAT.
    setup.resync_interval = stage.pick(3, 600);
    setup.command_timeout = stage.pick(1, 5);
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
    // A second snapshot soon follows the first. Its fence would be missing, too.
    until_metric(controller, RESYNCS, "", 2.0).await;
    let before = controller.metric(RECONNECTS, EVENTS).await;
    let start = Instant::now();
    assert_eq!(
        scene.proxy.black_hole(Which::Events),
        1,
        "the number of black-holed connections"
    );
    scene.change_member("unmute").await;
    scene.hang_up(&scene.parked).await;
    until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
    let noticed = start.elapsed();
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
    let recovery = start.elapsed();

    // The command connection: a command in progress gets 504, and the next one succeeds.
    let before = controller.metric(RECONNECTS, COMMANDS).await;
    assert_eq!(
        scene.proxy.black_hole(Which::Commands),
        1,
        "the number of black-holed connections"
    );
    let path = format!("/sessions/{}/commands/conference/mute", scene.call);
    let answer = controller
        .once("POST", &path, Some(&json!({})))
        .await
        .unwrap();
    assert_eq!(answer.status, 504, "{}", answer.body);
    let bound = Duration::from_secs(stage.pick(1, 5));
    assert!(answer.took < stage.within(bound), "{:?}", answer.took);
    until_metric(controller, RECONNECTS, COMMANDS, before + 1.0).await;
    // The deadline or the next command shows the result of the lost command.
    poll::until(
        "a command succeeds or has succeeded",
        poll::TIMEOUT,
        async || {
            let answer = controller
                .once("POST", &path, Some(&json!({})))
                .await
                .unwrap();
            matches!(answer.status, 202 | 409).then_some(())
        },
    )
    .await;
    scene
        .world
        .receiver
        .first(&scene.room, "conference.member.muted")
        .await;
    scene
        .report(
            "event connection black-holed: 1, command connection: 1",
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
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.resync_interval = interval;
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
    let before = controller.metric("roomkeeper_drift_total", "").await;
    let events = stage.pick(60, 300);
    let room = scene.room.clone();
    let channels =
        [&scene.parked, &scene.other, &scene.call].map(|call| scene.world.channel(call).to_owned());
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let loses = scene.proxy.change(move |message| {
        let matches = message.contains(&room)
            || channels
                .iter()
                .any(|channel| message.contains(&format!("Unique-ID: {channel}\n")));
        if is_event(message) && matches {
            count.fetch_add(1, Ordering::SeqCst);
            Change::Lose
        } else {
            Change::Pass
        }
    });
    // The last command leaves the member unmuted.
    let id = scene.world.member_id(&scene.room, &scene.channel).await;
    for n in 0..=events {
        let what = if n % 2 == 0 { "unmute" } else { "mute" };
        let reply = scene
            .world
            .fs(&format!("conference {} {what} {id}", scene.room))
            .await;
        assert!(reply.contains("OK"), "{reply}");
    }
    scene.hang_up(&scene.other).await;
    scene.hang_up(&scene.parked).await;
    let start = Instant::now();
    let left = scene
        .world
        .receiver
        .first(&scene.room, "conference.member.left")
        .await;
    assert!(left.synthesized(), "{}", left.body);
    for call in [&scene.parked, &scene.other] {
        let hangup = scene.world.receiver.first(call, "call.hangup").await;
        assert!(hangup.synthesized(), "{}", hangup.body);
    }
    scene
        .world
        .receiver
        .first(&scene.room, "conference.member.unmuted")
        .await;
    let recovery = start.elapsed();
    // The interval varies by a third, and the list of channels may be late once.
    let period = Duration::from_secs(u64::from(interval)) * 4 / 3 + Duration::from_secs(3);
    assert!(recovery < stage.within(period), "{recovery:?}");
    let lost = lost.load(Ordering::SeqCst);
    assert!(lost >= events, "only {lost} of {events} events were lost");
    drop(loses);
    until_metric(controller, "roomkeeper_drift_total", "", before + 3.0).await;
    poll::until(
        "a second snapshot follows one with differences",
        poll::TIMEOUT,
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

/// Pseudo-random decisions, the same in every run.
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
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
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
            // Held events follow in another order.
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
        let call = world.placed_call_id(&placed).await;
        let channel = world.channel(&call).to_owned();
        let join = format!("/sessions/{call}/commands/conference/join");
        let body = json!({ "room_id": scene.room });
        // The controller knows the call after one of its events. Other events push out a held one.
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
        poll::until("the call is in the room", poll::TIMEOUT, async || {
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
            0 => scene.hang_up(&call).await,
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
        "{late} delayed, {twice} duplicated"
    );
    let start = Instant::now();
    // New events push out the held ones, which describe outdated states.
    poll::until("FreeSWITCH and the API agree", poll::TIMEOUT, async || {
        world
            .fs(&format!("conference {} energy all 400", scene.room))
            .await;
        let (real, api) = (
            freeswitch_view(world).await,
            api_view(world, &world.controller).await.0,
        );
        (real == api).then_some(())
    })
    .await;
    drop(disorder);
    let recovery = start.elapsed();
    scene
        .report(
            format!("events delayed: {late}, duplicated: {twice}"),
            "one webhook id per transition, without a snapshot; I1 I3 I4",
            Some(recovery),
        )
        .await
}

/// Replaces a message's body and adjusts its lengths.
fn replace_body(message: &str, body: &str) -> Option<Vec<u8>> {
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

/// True for the result of a job that lists the channels or the conferences.
fn is_snapshot(message: &str) -> bool {
    message.contains("Event-Name: BACKGROUND_JOB\n")
        && ["Job-Command: show\n", "Job-Command: conference\n"]
            .iter()
            .any(|command| message.contains(command))
}

async fn snapshot_fails_or_is_truncated(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let world = &scene.world;
    let controller = &world.controller;
    let mut kinds = vec!["refused", "truncated", "torn", "empty"];
    if stage.form == Form::Long {
        kinds.push("timed out");
    }
    let before = freeswitch_view(world).await;
    let webhooks_before = world.receiver.all().len();
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
                |body: &str| Change::Instead(replace_body(message, body).into_iter().collect());
            match kind {
                "refused" => instead("-ERR no reply\n"),
                "empty" => instead(""),
                "truncated" => {
                    let body = message.rsplit_once("\n\n").map_or("", |(_, body)| body);
                    instead(&body[..body.len() / 2])
                }
                "torn" => Change::Tear,
                _ => Change::Lose,
            }
        });
        // A snapshot follows each new connection.
        assert_eq!(scene.proxy.cut(Which::Events), 1);
        until_metric(controller, failed, "", failures + 1.0).await;
        let hits = breaks.hits();
        assert!(hits > 0, "{kind}: no snapshot was affected");
        fired.push(format!("{kind}: {hits}"));
        assert_eq!(
            api_view(world, controller).await.0,
            before,
            "{kind}: the API's state has changed"
        );
        let resyncs = controller.metric(RESYNCS, "").await;
        drop(breaks);
        let start = Instant::now();
        until_metric(controller, RESYNCS, "", resyncs + 1.0).await;
        recovery = recovery.max(start.elapsed());
    }
    assert_eq!(
        api_view(world, controller).await.0,
        before,
        "the API's state has changed"
    );
    assert_eq!(
        world.receiver.all().len(),
        webhooks_before,
        "a webhook was sent"
    );
    scene
        .report(
            format!("snapshots {}", fired.join(", ")),
            "no change, no webhook; I1",
            Some(recovery),
        )
        .await
}

async fn garbage_from_the_node(stage: &Stage) -> Report {
    let switch = stage.switch().await;
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    // The proxy parses messages, so the controller connects directly.
    setup.node_address = Some(switch.address());
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
            "an invalid length",
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
            assert!(hit > 0, "{kind}: no connection got the garbage");
            assert_eq!(sim.faults().garbage, faults + hit as u64);
            // Only the next event reveals a head without an end.
            let unmutes = async || scene.change_member("unmute").await;
            slowest = slowest.max(scene.time_until("conference.member.unmuted", unmutes).await);
            until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
            until_metric(controller, RESYNCS, "", resyncs + 1.0).await;
            most = most.max(process::resident(controller.pid()));
            let mutes = async || scene.change_member("mute").await;
            scene.time_until("conference.member.muted", mutes).await;
        }
    }
    let bad = controller
        .metric("roomkeeper_esl_bad_frames_total", "")
        .await;
    assert!(bad >= 1.0, "bad frames are not counted: {bad}");
    assert_eq!(
        controller.metric("roomkeeper_task_panics_total", "").await,
        0.0
    );
    let grown = most.saturating_sub(resident);
    assert!(grown < 32 << 10, "memory grew by {grown} KiB");
    scene
        .report(
            format!("garbage sent: {}", sim.faults().garbage),
            format!("no panic, {grown} KiB more memory, reconnected; I1 I3"),
            Some(slowest),
        )
        .await
}
