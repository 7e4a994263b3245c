//! Members on hold, and files for one member.

use std::time::Duration;

use serde_json::json;

use crate::judge::judge;
use crate::party::{A, B, C, FIRST};
use crate::scene::Scene;
use crate::tests;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

tests![
    held_member_hears_the_music_alone_and_is_heard_by_nobody,
    file_for_one_member_is_heard_by_it_alone,
];

async fn held_member_hears_the_music_alone_and_is_heard_by_nobody(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c] = room.parties([A, B, C]).await;
    let body = json!({ "music_url": scene.file(FIRST, LONG) });
    room.member(&a, "hold", &body).await;
    room.webhook("conference.member.held", 1).await;
    judge(&[a.hears(&[]).and(FIRST), b.hears(&[&c]), c.hears(&[&b])]).await;
    room.member(&a, "unhold", &json!({})).await;
    room.webhook("conference.member.unheld", 1).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&a, &c])]).await;
}

async fn file_for_one_member_is_heard_by_it_alone(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let body = json!({ "urls": [scene.file(FIRST, LONG)] });
    room.member(&a, "play", &body).await;
    judge(&[a.hears(&[&b]).and(FIRST), b.hears(&[&a])]).await;
    room.member(&a, "stop", &json!({})).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}
