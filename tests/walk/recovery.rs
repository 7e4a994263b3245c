//! Calls that outlive a restart of the node, with the controller killed at its worst moment. `tests/hearing` does the same
//! with real calls.

use serde_json::json;

use crate::program::poll;
use crate::program::world::{Setup, Store, World};

const TIMEOUT: &str = "ROOMKEEPER_FLEET__RECOVERY_TIMEOUT";

async fn world() -> World {
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.environment = vec![(TIMEOUT.to_owned(), "15".to_owned())];
    let world = setup.start().await;
    world.controller.until_synced().await;
    world
}

/// A room with a member that was unmuted and deafened since it joined, and a parked call.
async fn room_and_calls(world: &World) -> (String, String, String) {
    let room = world.room("survivors").await;
    let (member, parked) = (world.call("1001").await, world.call("1002").await);
    world.join(&member, &room).await;
    let unmuted = world
        .command(&member, "conference/unmute", &json!({}))
        .await;
    assert_eq!(unmuted.status, 202, "{}", unmuted.body);
    world
        .receiver
        .first(&room, "conference.member.unmuted")
        .await;
    let path = format!("/conferences/{room}/members/{member}/deaf");
    let deaf = world.controller.ask("POST", &path, Some(&json!({}))).await;
    assert_eq!(deaf.status, 202, "{}", deaf.body);
    world
        .receiver
        .first(&room, "conference.member.deafened")
        .await;
    (room, member, parked)
}

/// Waits until FreeSWITCH has the member in the room, with these permissions to speak and to hear.
async fn until_flags(world: &World, room: &str, expected: (bool, bool)) {
    poll::until("the flags are restored", poll::TIMEOUT, async || {
        let list = world.fs("conference json_list compact").await;
        let list: serde_json::Value = serde_json::from_str(&list).ok()?;
        let rooms = list.as_array()?;
        let shown = rooms.iter().find(|one| one["conference_name"] == room)?;
        let flags = &shown["members"][0]["flags"];
        let (speaks, hears) = (&flags["can_speak"], &flags["can_hear"]);
        ((speaks, hears) == (&json!(expected.0), &json!(expected.1))).then_some(())
    })
    .await;
}

/// Checks that the calls are as before the restart, and that the parked one can join.
async fn check_survivors(world: &World, room: &str, member: &str, parked: &str) {
    until_flags(world, room, (true, false)).await;
    assert_eq!(world.call_state(member).await.0, "in_room");
    assert_eq!(world.call_state(parked).await.0, "parked");
    // FreeSWITCH does not report the first join of a recovered call.
    world.join(parked, room).await;
    let webhooks = world.receiver.delivered(room);
    let names: Vec<&str> = webhooks.iter().map(|webhook| webhook.event()).collect();
    let expected = [
        "conference.created",
        "conference.member.joined",
        "conference.member.unmuted",
        "conference.member.deafened",
        "conference.member.reconnected",
        "conference.member.joined",
    ];
    assert_eq!(names, expected);
    for call in [member, parked] {
        assert_eq!(world.receiver.delivered(call).len(), 1, "call.new only");
    }
    world.receiver.check_sequences();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_outlive_a_restart_of_the_node() {
    let world = world().await;
    let (room, member, parked) = room_and_calls(&world).await;
    world.switch.sim().restart().await.unwrap();
    let back = world.receiver.first(&room, "conference.member.reconnected");
    let back = back.await;
    assert_eq!(back.body["session_uuid"], *member);
    check_survivors(&world, &room, &member, &parked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_outlive_a_restart_of_node_and_controller() {
    let mut world = world().await;
    let (room, member, parked) = room_and_calls(&world).await;
    world.controller.kill();
    world.switch.sim().restart().await.unwrap();
    world.controller.start_again();
    world
        .receiver
        .first(&room, "conference.member.reconnected")
        .await;
    check_survivors(&world, &room, &member, &parked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_end_at_once_without_the_setting() {
    let world = Setup::with_short_timeouts(Store::Redis).start().await;
    world.controller.until_synced().await;
    let (room, member, _) = room_and_calls(&world).await;
    world.switch.sim().restart().await.unwrap();
    let left = world.receiver.first(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "orphan");
    world.receiver.first(&member, "call.hangup").await;
}
