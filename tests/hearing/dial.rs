//! Dial-outs: the room hears a callee from its answer on, and it the room.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::OwnTest;
use crate::judge::judge;
use crate::party::{A, B, C, Party};
use crate::phone::agent::Phone;
use crate::scene::{Place, Scene};

pub const TESTS: &[(&str, OwnTest)] = &[(
    "callee_and_room_hear_each_other_from_the_answer_on",
    |place| Box::pin(callee_and_room_hear_each_other_from_the_answer_on(place)),
)];

/// Permits calls to telephones of this machine.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("ROOMKEEPER_DIAL__ADDRESS", "sofia/inbound/${address}"),
    ("ROOMKEEPER_DIAL__ALLOW__0__APP", "*"),
    ("ROOMKEEPER_DIAL__ALLOW__0__DOMAINS", "[127.0.0.1]"),
];

async fn callee_and_room_hear_each_other_from_the_answer_on(place: Place) {
    let scene = Scene::of_one_test(place, &ENVIRONMENT).await;
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let mut phone = Phone::start("callee").await;
    let to = format!("callee@{}", phone.address());
    let dialled = room
        .command("calls", &json!({ "to": to, "muted": false }))
        .await;
    let session = dialled["session_uuid"].as_str().unwrap().to_owned();
    let mut incoming = phone.incoming().await;
    // The callee's network sounds before the answer.
    let begun = Instant::now();
    incoming.sound_early(C).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    assert_eq!(room.count("conference.member.joined"), 2);
    let silence = begun.elapsed();
    let call = incoming.answer(Some(C)).await;
    let window = Duration::from_millis(100);
    let windows = silence.as_millis() / window.as_millis();
    let early = call.audible(begun, window, u32::try_from(windows).unwrap());
    assert!(early.len() >= 8, "{silence:?}");
    assert!(
        early.iter().all(std::collections::BTreeSet::is_empty),
        "{early:?}"
    );
    room.webhook("conference.call.answered", 1).await;
    room.webhook("conference.member.joined", 3).await;
    let callee = Party {
        scene: &scene,
        tone: C,
        session,
        call,
        phone,
    };
    judge(&[
        a.hears(&[&b, &callee]),
        b.hears(&[&a, &callee]),
        callee.hears(&[&a, &b]),
    ])
    .await;
}
