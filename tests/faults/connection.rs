//! The way to a node breaks: cut, swallowed, lossy, out of order, full of garbage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll;
use crate::program::proxy::{Change, Which};
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{RECONNECTS, Stage, until_metric};

rows![
    1 event_connection_cut_in_a_frame(real),
    2 event_connection_black_holed(real),
    5 events_silently_dropped(real),
];

const EVENTS: &str = "connection=\"event\"";
const COMMANDS: &str = "connection=\"command\"";

/// The results of jobs are answers: another connection has them.
fn is_event(message: &str) -> bool {
    message.contains("text/event-plain") && !message.contains("Event-Name: BACKGROUND_JOB\n")
}

async fn event_connection_cut_in_a_frame(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::on(Store::Redis)).await;
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
        let took = scene
            .next(told, async || scene.somebody_says(does).await)
            .await;
        assert_eq!(tears.hits(), 1, "one event was torn");
        assert!(took < stage.within(Duration::from_secs(3)), "{took:?}");
        until_metric(controller, RECONNECTS, EVENTS, before + 1.0).await;
        slowest = slowest.max(took);
    }
    // What happens while nobody listens is found out as well.
    let cut = scene.proxy.cut(Which::Both);
    assert_eq!(cut, 2, "both connections were cut");
    scene.hangs_up(&scene.parked).await;
    let new = scene.world.call("1009").await;
    assert_eq!(scene.world.place(&new).await, ("parked".to_owned(), None));
    scene
        .world
        .receiver
        .first(&scene.parked, "call.hangup")
        .await;
    scene
        .report(
            format!("event torn: {times}, both connections cut: 1"),
            "resynced within 3 s; I1 I3 I4",
            Some(slowest),
        )
        .await
}

async fn event_connection_black_holed(stage: &Stage) -> Report {
    let mut setup = Setup::on(Store::Redis);
    // In the short form the fence of the next snapshot is missed, in the long one HEARTBEAT.
    setup.resync_interval = stage.pick(3, 600);
    setup.command_timeout = stage.pick(1, 5);
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
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
    let mut setup = Setup::on(Store::Redis);
    setup.resync_interval = interval;
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
    let before = controller
        .metric("roomkeeper_reconciler_drift_total", "")
        .await;
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
    until_metric(
        controller,
        "roomkeeper_reconciler_drift_total",
        "",
        before + 3.0,
    )
    .await;
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
