//! Commands that change rooms, members, calls, webhook endpoints and contexts, as an operator gives them.
// The whole file is a test, but the lint does not recognize helpers as such.
#![allow(clippy::unwrap_used)]

#[path = "cli/command.rs"]
mod command;
#[path = "cli/contexts.rs"]
mod contexts;
#[path = "cli/everyone.rs"]
mod everyone;
#[path = "cli/examples.rs"]
mod examples;
#[path = "cli/fleet.rs"]
mod fleet;
#[path = "support/program/mod.rs"]
mod program;
#[path = "cli/settings.rs"]
mod settings;
mod support;
#[path = "cli/waits.rs"]
mod waits;
#[path = "cli/webhooks.rs"]
mod webhooks;

use serde_json::{Value, json};

use command::{document, run, shown, text};
use program::world::{Setup, Store, World};

/// A controller with a node, ready for commands.
async fn world() -> World {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    world
}

/// Runs a command that fails, and returns its exit code and errors.
fn fails(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let out = run(world, args);
    assert!(out.stdout.is_empty(), "{args:?}: {}", text(&out.stdout));
    (out.status.code(), text(&out.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_created_locked_and_deleted_by_name() {
    let world = world().await;
    let made = document(&world, &["room", "create", "standup", "--wait", "--json"]);
    let room = made["room_id"].as_str().unwrap();
    assert_eq!(made["event"]["event"], "conference.created");
    assert_eq!(made["event"]["room_id"], *room);
    // An empty room is locked at once, and no event follows.
    let locked = shown(&world, &["room", "lock", "standup", "--wait"]);
    assert_eq!(locked, format!("lock {room}: locked\n"));
    assert!(shown(&world, &["room", "show", "standup"]).contains("\nlocked     yes\n"));
    shown(&world, &["room", "unlock", &room[11..15]]);
    assert!(shown(&world, &["room", "show", "standup"]).contains("\nlocked     no\n"));

    // Without a terminal, deleting needs --yes.
    let (code, errors) = fails(&world, &["room", "delete", "standup"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("use --yes"), "{errors}");
    assert!(errors.contains(&format!("standup ({room})")), "{errors}");
    let deleted = shown(&world, &["room", "delete", "standup", "--yes", "--wait"]);
    assert!(
        deleted.starts_with(&format!("delete {room}: confirmed (conference.destroyed)")),
        "{deleted}"
    );
    let (code, errors) = fails(&world, &["room", "show", "standup"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("there is no room \"standup\""), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn call_joins_and_leaves_by_number_and_prefix() {
    let world = world().await;
    let call = world.call("527121101").await;
    let made = document(
        &world,
        &["room", "create", "standup", "--call", "527121101", "--json"],
    );
    let room = made["room_id"].as_str().unwrap().to_owned();
    let joined = document(
        &world,
        &[
            "call",
            "join",
            "527121101",
            "standup",
            "--unmuted",
            "--wait",
            "--json",
        ],
    );
    assert_eq!(joined["status"], "joining");
    assert_eq!(joined["event"]["event"], "conference.member.joined");
    assert_eq!(joined["event"]["data"]["muted"], false);
    assert_eq!(
        world.call_state(&call).await,
        ("in_room".to_owned(), Some(room))
    );
    // It is there already: no event follows.
    let again = shown(&world, &["call", "join", &call, "standup", "--wait"]);
    assert_eq!(again, format!("join {call}: already_joined\n"));
    let muted = shown(&world, &["member", "mute", "standup", "527121101"]);
    assert_eq!(muted, format!("mute {call}: accepted\n"));
    let left = shown(&world, &["call", "leave", &call[..14], "--wait"]);
    assert!(
        left.contains(": confirmed (conference.member.left)"),
        "{left}"
    );
    assert_eq!(world.call_state(&call).await.0, "parked");
    let ended = shown(
        &world,
        &[
            "call",
            "hangup",
            &call[6..10],
            "--cause",
            "USER_BUSY",
            "--wait",
        ],
    );
    assert!(ended.contains(": confirmed (call.hangup)"), "{ended}");
    let hangup = world.receiver.first(&call, "call.hangup").await;
    assert_eq!(hangup.body["data"]["cause"], "USER_BUSY");
    assert_eq!(shown(&world, &["call", "list"]), "There are no calls.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn member_is_muted_deafened_and_removed() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    for (verb, event) in [
        ("unmute", "conference.member.unmuted"),
        ("mute", "conference.member.muted"),
        ("deaf", "conference.member.deafened"),
        ("undeaf", "conference.member.undeafened"),
        ("hold", "conference.member.held"),
        ("unhold", "conference.member.unheld"),
        ("kick", "conference.member.left"),
    ] {
        let done = document(
            &world,
            &["member", verb, "standup", "527121101", "--wait", "--json"],
        );
        assert_eq!(done["event"]["event"], event);
        assert_eq!(done["event"]["session_uuid"], *call);
        assert!(done["event"]["data"]["command_uid"].is_string(), "{done}");
    }
    assert_eq!(world.call_state(&call).await.0, "parked");
    // A call that is elsewhere is no member, although it exists.
    let (code, errors) = fails(&world, &["member", "mute", "standup", "527121101"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("there is no member \"527121101\""),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn member_is_moved_to_another_room() {
    let world = world().await;
    let room = world.room("standup").await;
    let other = world.room("breakout").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let args = ["member", "move", "standup", "527121101", "breakout"];
    let more = ["--muted", "false", "--wait", "--json"];
    let done = document(&world, &[&args[..], &more[..]].concat());
    assert_eq!(done["event"]["event"], "conference.member.joined");
    assert_eq!(done["event"]["room_id"], *other);
    assert_eq!(done["event"]["data"]["from"], *room);
    assert_eq!(done["event"]["data"]["muted"], false);
    assert_eq!(
        world.call_state(&call).await,
        ("in_room".to_owned(), Some(other))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_controller_is_shown() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    for (args, words) in [
        (
            &["member", "mute", "standup", "527121101"][..],
            "(409 Conflict)",
        ),
        (
            &["member", "mute", "standup", "527121101", "--wait"],
            "(409 Conflict)",
        ),
        (&["call", "answer", "527121101"], "(409 Conflict)"),
        (&["room", "create", "standup"], "(409 Conflict)"),
        (&["room", "create", "a b"], "(400 Bad Request)"),
        (&["room", "record-stop", "standup"], "(409 Conflict)"),
        (
            &["call", "hangup", "527121101", "--cause", "NO_SUCH"],
            "(400 Bad Request)",
        ),
    ] {
        let (code, errors) = fails(&world, args);
        assert_eq!(code, Some(1), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_recorded_and_its_playback_is_controlled() {
    let world = world().await;
    let room = world.room("standup").await;
    let call = world.call("527121101").await;
    world.join(&call, &room).await;
    let event = |args: &[&str]| {
        let all = [args, &["--wait", "--json"]].concat();
        document(&world, &all)["event"].clone()
    };
    let started = event(&["room", "record", "standup"]);
    assert_eq!(started["event"], "conference.recording.started");
    assert!(shown(&world, &["room", "show", "standup"]).contains("\nrecording  recording\n"));
    let stopped = event(&["room", "record-stop", "standup"]);
    assert_eq!(stopped["event"], "conference.recording.stopped");
    assert_eq!(
        stopped["data"]["recording_id"],
        started["data"]["recording_id"]
    );
    let volume = event(&["room", "volume", "standup", "-6"]);
    assert_eq!(volume["event"], "conference.play.volume_changed");
    assert_eq!(volume["data"]["volume"], -6);
    let locked = event(&["room", "lock", "standup"]);
    assert_eq!(locked["event"], "conference.updated");
    assert_eq!(locked["data"]["locked"], true);
    // Nothing plays: no event follows.
    assert_eq!(event(&["room", "stop", "standup"]), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_reference_lists_candidates_and_changes_nothing() {
    let world = world().await;
    let room = world.room("standup").await;
    let (one, two) = (world.call("527121101").await, world.call("527121101").await);
    world.join(&one, &room).await;
    let node = world.node.clone();
    for reference in ["527121101", &node, ""] {
        let (code, errors) = fails(&world, &["call", "hangup", reference]);
        if reference.is_empty() {
            assert_eq!(code, Some(1), "{errors}");
            continue;
        }
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("refers to 2 calls"), "{errors}");
        for call in [&one, &two] {
            assert!(
                errors.contains(&format!("\n  {call}  527121101")),
                "{errors}"
            );
        }
    }
    // Among the members of the room, the number is unique.
    shown(
        &world,
        &["member", "unmute", "standup", "527121101", "--wait"],
    );
    assert_eq!(world.call_state(&two).await.0, "parked");
    assert_eq!(
        document(&world, &["call", "list", "--json"])["sessions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let found = document(&world, &["call", "search", "527121101", "--json"]);
    assert_eq!(found["sessions"].as_array().unwrap().len(), 2);
    let parked = document(&world, &["call", "list", "--state", "parked", "--json"]);
    assert_eq!(parked["sessions"][0]["uuid"], *two);
    assert_eq!(parked["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_of_name_is_found_although_it_looks_like_a_prefix() {
    let world = world().await;
    let first = world.room("standup").await;
    // The name of this room is a prefix of the other one's id.
    let second = world.room(&first[11..13]).await;
    let shown_id = |reference: &str| {
        document(&world, &["room", "show", reference, "--json"])["room"]["room_id"].clone()
    };
    assert_eq!(shown_id(&first[11..13]), json!(second));
    assert_eq!(shown_id(&first[..19]), json!(first));
}
