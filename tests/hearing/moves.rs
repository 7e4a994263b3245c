//! Members that move from room to room.

use serde_json::json;

use crate::judge::judge;
use crate::party::{A, B, C, D};
use crate::scene::Scene;
use crate::tests;

tests![
    moved_member_hears_its_new_room_alone,
    moved_member_stays_muted_and_deaf,
    room_that_is_locked_keeps_a_moving_member_out,
];

async fn moved_member_hears_its_new_room_alone(scene: &Scene) {
    let (from, to) = scene.two_rooms().await;
    let [a, b] = from.parties([A, B]).await;
    let [c, d] = to.parties([C, D]).await;
    judge(&[a.hears(&[&b]), c.hears(&[&d])]).await;
    from.member(&a, "move", &json!({ "room_id": to.id })).await;
    to.webhook("conference.member.joined", 3).await;
    judge(&[
        a.hears(&[&c, &d]),
        b.hears(&[]),
        c.hears(&[&a, &d]),
        d.hears(&[&a, &c]),
    ])
    .await;
    to.member(&a, "move", &json!({ "room_id": from.id })).await;
    from.webhook("conference.member.joined", 3).await;
    judge(&[
        a.hears(&[&b]),
        b.hears(&[&a]),
        c.hears(&[&d]),
        d.hears(&[&c]),
    ])
    .await;
}

async fn moved_member_stays_muted_and_deaf(scene: &Scene) {
    let (from, to) = scene.two_rooms().await;
    let [a, b] = from.parties([A, B]).await;
    let [c] = to.parties([C]).await;
    a.command("conference/mute", &json!({})).await;
    from.webhook("conference.member.muted", 1).await;
    from.member(&b, "deaf", &json!({})).await;
    from.webhook("conference.member.deafened", 1).await;
    for party in [&a, &b] {
        from.member(party, "move", &json!({ "room_id": to.id }))
            .await;
    }
    to.webhook("conference.member.joined", 3).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[]), c.hears(&[&b])]).await;
}

async fn room_that_is_locked_keeps_a_moving_member_out(scene: &Scene) {
    let (from, to) = scene.two_rooms().await;
    let [a, b] = from.parties([A, B]).await;
    let [c] = to.parties([C]).await;
    to.command("lock", &json!({})).await;
    to.webhook("conference.updated", 1).await;
    let path = format!("/conferences/{}/members/{}/move", from.id, a.session);
    let body = json!({ "room_id": to.id });
    let refused = scene.world.controller.ask("POST", &path, Some(&body)).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    judge(&[a.hears(&[&b]), b.hears(&[&a]), c.hears(&[])]).await;
}
