//! Dial-outs: the room hears a callee from its answer on, and it the room. Transfers: caller and callee hear each other, and
//! the room hears neither.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::OwnTest;
use crate::judge::judge;
use crate::party::{A, B, C, Party};
use crate::phone::agent::Phone;
use crate::scene::{Place, Scene};

pub const TESTS: &[(&str, OwnTest)] = &[
    (
        "callee_and_room_hear_each_other_from_the_answer_on",
        |place| Box::pin(callee_and_room_hear_each_other_from_the_answer_on(place)),
    ),
    (
        "transferred_caller_and_callee_hear_each_other_alone",
        |place| Box::pin(transferred_caller_and_callee_hear_each_other_alone(place)),
    ),
];

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

async fn transferred_caller_and_callee_hear_each_other_alone(place: Place) {
    let scene = Scene::of_one_test(place, &ENVIRONMENT).await;
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    let mut phone = Phone::start("callee").await;
    let to = json!({ "to": format!("callee@{}", phone.address()) });
    let receiver = &scene.world.receiver;
    // A busy callee: the caller is parked.
    a.command("transfer", &to).await;
    room.webhook("conference.member.left", 1).await;
    phone.incoming().await.refuse(486).await;
    let failed = receiver.nth(&a.session, "call.transfer_failed", 1).await;
    let data = &failed.body["data"];
    assert_eq!(
        (&data["reason"], &data["cause"], &data["sip_status"]),
        (&json!("busy"), &json!("USER_BUSY"), &json!(486))
    );
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    room.join(&a).await;
    // One that answers.
    a.command("transfer", &to).await;
    let call = phone.incoming().await.answer(Some(C)).await;
    receiver.nth(&a.session, "call.transferred", 1).await;
    let callee = Party {
        scene: &scene,
        tone: C,
        session: String::new(),
        call,
        phone,
    };
    judge(&[a.hears(&[&callee]), callee.hears(&[&a]), b.hears(&[])]).await;
    // The callee hangs up: the caller is parked, and can return.
    drop(callee);
    let ended = receiver.nth(&a.session, "call.transfer_ended", 1).await;
    assert_eq!(ended.body["data"]["reason"], "hangup", "{}", ended.text);
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    room.join(&a).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}
