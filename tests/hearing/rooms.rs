//! Plain rooms: who is in hears all others once, and nobody else.

use serde_json::json;

use crate::judge::{judge, loudness};
use crate::party::{A, B, C, D, Party};
use crate::scene::Scene;
use crate::tests;

tests![
    everybody_hears_everybody_else_once_and_nobody_itself,
    rooms_do_not_hear_each_other,
    parked_calls_hear_and_are_heard_by_nobody,
    members_of_a_deleted_room_hear_nobody,
    locked_room_admits_no_voice,
];

async fn everybody_hears_everybody_else_once_and_nobody_itself(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c, d] = room.parties([A, B, C, D]).await;
    let all = [&a, &b, &c, &d];
    judge(&[
        a.hears(&[&b, &c, &d]),
        b.hears(&[&a, &c, &d]),
        c.hears(&[&a, &b, &d]),
        d.hears(&[&a, &b, &c]),
    ])
    .await;
    for listener in all {
        for other in all.iter().filter(|other| other.tone != listener.tone) {
            // A voice that is mixed in twice is louder, or cancels itself.
            let loud = loudness(listener, other.tone).await;
            assert!((0.8..1.2).contains(&loud), "{:?}: {loud}", other.tone);
        }
    }
}

async fn rooms_do_not_hear_each_other(scene: &Scene) {
    let (one, two) = (scene.room().await, scene.room().await);
    let [a, b] = one.parties([A, B]).await;
    let [c, d] = two.parties([C, D]).await;
    judge(&[
        a.hears(&[&b]),
        b.hears(&[&a]),
        c.hears(&[&d]),
        d.hears(&[&c]),
    ])
    .await;
}

async fn parked_calls_hear_and_are_heard_by_nobody(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let parked = Party::call(scene, room.node, C).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a]), parked.hears(&[])]).await;
    room.join(&parked).await;
    judge(&[a.hears(&[&b, &parked]), parked.hears(&[&a, &b])]).await;
    parked.command("conference/leave", &json!({})).await;
    room.webhook("conference.member.left", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a]), parked.hears(&[])]).await;
}

async fn members_of_a_deleted_room_hear_nobody(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    let path = format!("/conferences/{}", room.id);
    let answer = scene.world.controller.ask("DELETE", &path, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    room.webhook("conference.destroyed", 1).await;
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    assert!(!a.call.is_over() && !b.call.is_over(), "calls stay up");
}

async fn locked_room_admits_no_voice(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    room.command("lock", &json!({})).await;
    room.webhook("conference.updated", 1).await;
    let late = Party::call(scene, room.node, C).await;
    let body = json!({ "room_id": room.id, "muted": false });
    let world = &scene.world;
    let refused = world.command(&late.session, "conference/join", &body).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    judge(&[a.hears(&[&b]), b.hears(&[&a]), late.hears(&[])]).await;
    room.command("unlock", &json!({})).await;
    room.webhook("conference.updated", 2).await;
    room.join(&late).await;
    judge(&[a.hears(&[&b, &late]), late.hears(&[&a, &b])]).await;
}
