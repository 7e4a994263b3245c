//! Commands that come too soon after each other, as a caller sees it with state on Redis.

use serde_json::json;

use crate::program::poll;
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn a_command_that_comes_too_soon_is_told_when_to_come_back() {
    let mut setup = Setup::on(Store::Redis);
    setup.cooldowns = true;
    let world = setup.start().await;
    world.controller.until_ready().await;
    world.controller.until_synced().await;
    let session = world.call("527121100").await;
    let room = world.room("walk").await;
    let join = json!({ "room_id": room, "command_uid": "join-1" });
    let first = world.command(&session, "conference/join", &join).await;
    assert_eq!(first.status, 202, "{}", first.body);
    world
        .receiver
        .first(&room, "conference.member.joined")
        .await;
    // The same once more is not too soon: it is the same command.
    let again = world.command(&session, "conference/join", &join).await;
    assert_eq!((again.status, &again.body), (202, &first.body));

    let mut told = false;
    let left = poll::until("the call may leave", poll::PATIENCE, async || {
        let answer = world
            .command(&session, "conference/leave", &json!({}))
            .await;
        if answer.status == 429 {
            let ms = answer.body["detail"]["retry_after_ms"].as_u64().unwrap();
            assert!((1..=2_000).contains(&ms), "{}", answer.body);
            assert!((1..=2).contains(&answer.retry_after.unwrap()));
            assert_eq!(answer.body["success"], false);
            told = true;
            return None;
        }
        Some(answer)
    })
    .await;
    assert_eq!(left.status, 202, "{}", left.body);
    assert!(told, "the cooldown of the join was over before the leave");
    world.receiver.first(&room, "conference.member.left").await;
    let joins = world
        .receiver
        .delivered(&room)
        .iter()
        .filter(|got| got.event() == "conference.member.joined")
        .count();
    assert_eq!(joins, 1);
}
