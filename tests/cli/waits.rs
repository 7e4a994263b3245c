//! `--wait`: the confirmation of commands, their failure, and the end of a wait.

use freeswitch_sim::core::Media;
use serde_json::{Value, json};

use crate::command::{RunningCommand, document, shown};
use crate::program::poll::{self, TIMEOUT};
use crate::program::proxy::{Hold, Proxy};
use crate::program::switch::Switch;
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::{fails, world};

/// A controller whose connections to the node go through a proxy.
async fn world_behind_proxy(mut setup: Setup) -> (World, Proxy) {
    let switch = Switch::simulated(PASSWORD).await;
    let proxy = Proxy::start(switch.address()).await;
    setup.node_address = Some(proxy.address);
    let world = setup.start_with(switch).await;
    world.controller.until_synced().await;
    (world, proxy)
}

/// Holds back the node's events about conferences.
fn hold_conference_events(proxy: &Proxy) -> Hold {
    proxy.hold_events(|event| event.contains("maintenance"))
}

#[tokio::test(flavor = "multi_thread")]
async fn unconfirmed_command_times_out() {
    let (world, proxy) = world_behind_proxy(Setup::on(Store::Memory)).await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    // FreeSWITCH executes commands, and no event arrives: not even the fence of a snapshot, which would reveal the change.
    let held = proxy.hold_events(|_| true);
    let (code, errors) = fails(
        &world,
        &[
            "member",
            "unmute",
            "standup",
            "527121101",
            "--wait",
            "--timeout",
            "1",
        ],
    );
    assert_eq!(code, Some(75), "{errors}");
    assert!(errors.contains("not confirmed within 1 s"), "{errors}");

    // Ctrl-C ends the wait, and not the command.
    let mut wait = RunningCommand::start(
        &world,
        &["member", "deaf", "standup", "527121101", "--wait"],
    );
    let is_deaf = async || {
        let list = world.fs("conference json_list compact").await;
        list.contains("\"can_hear\":false").then_some(())
    };
    poll::until("the member is deaf", TIMEOUT, is_deaf).await;
    assert_eq!(wait.interrupt().await, Some(130), "{}", wait.errors());
    assert!(
        wait.errors().contains("stopped waiting"),
        "{}",
        wait.errors()
    );
    drop(held);
    world
        .receiver
        .first(&room, "conference.member.deafened")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_join_has_reason() {
    let (world, proxy) = world_behind_proxy(Setup::on(Store::Memory)).await;
    world.room("standup").await;
    let call = world.call("527121101").await;
    let held = hold_conference_events(&proxy);
    let mut join =
        RunningCommand::start(&world, &["call", "join", "527121101", "standup", "--wait"]);
    poll::until("it joins", TIMEOUT, async || {
        (world.call_state(&call).await.0 == "joining").then_some(())
    })
    .await;
    let gone = world
        .controller
        .ask(
            "POST",
            &format!("/sessions/{call}/commands/hangup"),
            Some(&json!({})),
        )
        .await;
    assert_eq!(gone.status, 202, "{}", gone.body);
    // The event of the join, if it arrived first, would confirm it.
    world.receiver.first(&call, "call.hangup").await;
    drop(held);
    assert_eq!(join.ends().await, Some(1), "{}", join.errors());
    assert!(
        join.errors().contains(&format!("join {call} failed: ")),
        "{}",
        join.errors()
    );
    assert!(join.printed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_continues_after_controller_is_killed() {
    let (mut world, proxy) = world_behind_proxy(Setup::with_short_timeouts(Store::Redis)).await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let held = hold_conference_events(&proxy);
    let mut wait = RunningCommand::start(
        &world,
        &["call", "leave", "527121101", "--wait", "--timeout", "120"],
    );
    // The controller has answered.
    wait.reports("waiting for the event").await;
    world.controller.kill();
    drop(held);
    world.controller.start_again();
    world.controller.until_synced().await;
    assert_eq!(wait.ends().await, Some(0), "{}", wait.errors());
    wait.prints("confirmed (conference.member.left)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn played_file_is_confirmed_when_it_has_ended() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let (short, broken) = ("http://127.0.0.1/short.wav", "http://127.0.0.1/broken.wav");
    for (url, duration) in [(short, Some(200_000)), (broken, None)] {
        let media = Media {
            duration,
            opening: 0,
        };
        world.switch.sim().set_media(url, media);
    }
    let played = document(
        &world,
        &["room", "play", "standup", short, "--wait", "--json"],
    );
    assert_eq!(played["event"]["event"], "conference.play.finished");
    assert_eq!(
        played["event"]["data"]["operation_id"],
        played["operation_id"]
    );
    let (code, errors) = fails(&world, &["room", "play", "standup", broken, "--wait"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains(&format!("play {room} failed: {broken}: ")),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn command_without_answer_in_time_is_confirmed_by_event_with_its_id() {
    let mut setup = Setup::on(Store::Memory);
    setup.command_timeout = 1;
    let (world, proxy) = world_behind_proxy(setup).await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let url = "http://127.0.0.1/long.wav";
    let media = Media {
        duration: Some(600_000_000),
        opening: 0,
    };
    world.switch.sim().set_media(url, media);
    shown(&world, &["room", "play", "standup", url]);
    poll::until("the node plays it", TIMEOUT, async || {
        let status = world.fs(&format!("conference {room} play_status")).await;
        status.contains("long.wav").then_some(())
    })
    .await;
    for (args, event, id) in [
        (
            &["room", "stop", "standup"][..],
            "conference.play.stopped",
            "operation_id",
        ),
        (
            &["room", "record", "standup"],
            "conference.recording.started",
            "recording_id",
        ),
    ] {
        // FreeSWITCH executes commands, and its answers come too late.
        let held = proxy.hold_answers();
        let all = [args, &["--wait", "--json"]].concat();
        let mut command = RunningCommand::start(&world, &all);
        command.reports("waiting for the event").await;
        held.release();
        assert_eq!(command.ends().await, Some(0), "{}", command.errors());
        let done: Value = serde_json::from_str(&command.printed().join("\n")).unwrap();
        assert_eq!(done["event"]["event"], event);
        assert!(done[id].is_string(), "{done}");
        assert_eq!(done[id], done["event"]["data"][id]);
        world.controller.until_synced().await;
    }
}
