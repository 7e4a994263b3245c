//! Calls outlive FreeSWITCH: after a crash it recovers them, and the members are back in their rooms with their flags.

use std::fs;

use serde_json::json;

use crate::OwnTest;
use crate::judge::judge;
use crate::party::{A, B, C, D, Party};
use crate::phone::tone::Tone;
use crate::program::poll;
use crate::scene::{Place, Scene};

const E: Tone = Tone::ALL[4];

pub const TESTS: &[(&str, OwnTest)] = &[
    ("members_return_with_their_flags_after_a_crash", |place| {
        Box::pin(members_return_with_their_flags_after_a_crash(place))
    }),
    ("calls_that_were_not_recovered_are_over", |place| {
        Box::pin(calls_that_were_not_recovered_are_over(place))
    }),
];

async fn members_return_with_their_flags_after_a_crash(place: Place) {
    let mut scene =
        Scene::of_one_test(place, &[("ROOMKEEPER_FLEET__RECOVERY_TIMEOUT", "20")]).await;
    let mut server = scene.servers.pop().unwrap();
    let room = scene.room().await;
    let [a, b, deaf, gone] = room.parties([A, B, D, E]).await;
    let muted = Party::call(&scene, room.node, C).await;
    scene.world.join(&muted.session, &room.id).await;
    room.member(&deaf, "deaf", &json!({})).await;
    room.webhook("conference.member.deafened", 1).await;
    let parked = Party::call(&scene, room.node, Tone::ALL[5]).await;
    room.command("lock", &json!({})).await;
    room.webhook("conference.updated", 1).await;
    judge(&[
        a.hears(&[&b, &deaf, &gone]),
        muted.hears(&[&a, &b, &deaf, &gone]),
        deaf.hears(&[]),
    ])
    .await;

    server.kill();
    judge(&[a.hears(&[]), b.hears(&[]), muted.hears(&[])]).await;
    // This caller hangs up while no server hears it.
    let Party {
        call,
        session,
        phone: _silent,
        ..
    } = gone;
    drop(call);
    server.start_again().await;

    // The caller that is gone has left, the others are back, with the same membership and the same flags.
    room.webhook("conference.member.reconnected", 4).await;
    scene.world.receiver.first(&session, "call.hangup").await;
    judge(&[
        a.hears(&[&b, &deaf]),
        b.hears(&[&a, &deaf]),
        muted.hears(&[&a, &b, &deaf]),
        deaf.hears(&[]),
    ])
    .await;
    assert_eq!(room.count("conference.member.joined"), 5);
    let left = room.webhook("conference.member.left", 1).await;
    assert_eq!(left.body["session_uuid"], *session);
    assert_eq!(room.count("conference.member.left"), 1);
    for event in ["muted", "unmuted", "deafened", "undeafened"] {
        let count = room.count(&format!("conference.member.{event}"));
        assert_eq!(count, usize::from(event == "deafened"), "{event}");
    }
    for party in [&a, &b, &muted, &deaf, &parked] {
        let events = scene.world.receiver.delivered(&party.session);
        let names: Vec<&str> = events.iter().map(|webhook| webhook.event()).collect();
        assert_eq!(names, ["call.new"], "{:?}", party.tone);
    }
    poll::until("the room is locked again", poll::TIMEOUT, async || {
        let list = server
            .api(&format!("conference {} json_list", room.id))
            .await;
        let list: serde_json::Value = serde_json::from_str(&list).ok()?;
        (list[0]["locked"] == true).then_some(())
    })
    .await;

    // They can be controlled as before.
    room.command("unlock", &json!({})).await;
    room.webhook("conference.updated", 2).await;
    room.member(&deaf, "undeaf", &json!({})).await;
    room.join(&parked).await;
    judge(&[
        a.hears(&[&b, &deaf, &parked]),
        deaf.hears(&[&a, &b, &parked]),
        parked.hears(&[&a, &b, &deaf]),
    ])
    .await;
    a.command("hangup", &json!({})).await;
    a.call.until_ended().await;
    scene.world.receiver.check_sequences();
}

async fn calls_that_were_not_recovered_are_over(place: Place) {
    let mut scene = Scene::of_one_test(place, &[("ROOMKEEPER_FLEET__RECOVERY_TIMEOUT", "3")]).await;
    let mut server = scene.servers.pop().unwrap();
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b])]).await;
    server.kill();
    // The server forgets its calls.
    fs::remove_dir_all(server.folder("db")).unwrap();
    fs::create_dir(server.folder("db")).unwrap();
    server.start_again().await;
    for n in [1, 2] {
        let left = room.webhook("conference.member.left", n).await;
        assert_eq!(left.body["data"]["reason"], "orphan");
    }
    for party in [&a, &b] {
        scene
            .world
            .receiver
            .first(&party.session, "call.hangup")
            .await;
    }
    assert_eq!(room.count("conference.member.reconnected"), 0);
    // The room lives on.
    let late = room.party(C).await;
    judge(&[late.hears(&[])]).await;
    scene.world.receiver.check_sequences();
}
