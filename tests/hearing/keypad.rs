//! Keys of telephones (RFC 2833): gathered from a member who stays in the room, and sent to one.

use std::time::Duration;

use serde_json::json;

use crate::judge::judge;
use crate::party::{A, B, FIRST};
use crate::program::poll;
use crate::scene::Scene;
use crate::tests;

tests![
    prompt_is_heard_by_the_asked_member_alone_and_its_keys_are_reported,
    sent_keys_arrive_at_the_telephone,
];

async fn prompt_is_heard_by_the_asked_member_alone_and_its_keys_are_reported(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    let prompt = scene.file(FIRST, Duration::from_secs(20));
    let body = json!({ "prompt_url": prompt, "max_digits": 4, "timeout_ms": 10_000 });
    room.member(&a, "gather", &body).await;
    let start = std::time::Instant::now();
    poll::until("the prompt is audible", poll::TIMEOUT, async || {
        let heard = a.call.audible(start, start.elapsed(), 1);
        heard[0].contains(&FIRST).then_some(())
    })
    .await;
    a.call.press("4711").await;
    let gathered = room.webhook("conference.member.gathered", 1).await;
    assert_eq!(gathered.body["data"]["digits"], "4711");
    assert_eq!(gathered.body["data"]["reason"], "matched");
    let prompted = b.call.audible(start, start.elapsed(), 1);
    assert!(!prompted[0].contains(&FIRST), "the other member heard it");
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}

async fn sent_keys_arrive_at_the_telephone(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    room.member(&a, "dtmf", &json!({ "digits": "12#" })).await;
    poll::until("the keys arrive", poll::TIMEOUT, async || {
        (a.call.keys() == "12#").then_some(())
    })
    .await;
    assert_eq!(b.call.keys(), "");
}
