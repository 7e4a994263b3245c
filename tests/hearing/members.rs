//! Controls of one member: mute, deaf, kick, leave.

use serde_json::json;

use crate::judge::{CHANGE, judge, loudness};
use crate::party::{A, B, C, Party};
use crate::phone::tone::Tone;
use crate::program::poll;
use crate::scene::Scene;
use crate::tests;

tests![
    members_join_muted_by_default,
    muted_member_is_heard_by_nobody_and_hears_all,
    deaf_member_hears_nobody_and_is_heard,
    deaf_and_muted_are_independent,
    kicked_member_is_out_of_the_room_and_stays_on_the_line,
    member_that_leaves_and_returns_is_heard_again,
    volumes_of_a_member_change_what_it_says_and_what_it_hears,
    quiet_voice_below_the_energy_of_a_member_is_heard_by_nobody,
    telephones_own_hold_silences_both_directions_until_its_end,
];

async fn members_join_muted_by_default(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let quiet = Party::call(scene, room.node, C).await;
    scene.world.join(&quiet.session, &room.id).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a]), quiet.hears(&[&a, &b])]).await;
    quiet.command("conference/unmute", &json!({})).await;
    room.webhook("conference.member.unmuted", 1).await;
    judge(&[a.hears(&[&b, &quiet]), quiet.hears(&[&a, &b])]).await;
}

async fn muted_member_is_heard_by_nobody_and_hears_all(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c] = room.parties([A, B, C]).await;
    a.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.muted", 1).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&c]), c.hears(&[&b])]).await;
    a.command("conference/unmute", &json!({})).await;
    room.webhook("conference.member.unmuted", 1).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&a, &c]), c.hears(&[&a, &b])]).await;
}

async fn deaf_member_hears_nobody_and_is_heard(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c] = room.parties([A, B, C]).await;
    room.member(&a, "deaf", &json!({})).await;
    room.webhook("conference.member.deafened", 1).await;
    judge(&[a.hears(&[]), b.hears(&[&a, &c]), c.hears(&[&a, &b])]).await;
    room.member(&a, "undeaf", &json!({})).await;
    room.webhook("conference.member.undeafened", 1).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&a, &c])]).await;
}

async fn deaf_and_muted_are_independent(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    room.member(&a, "deaf", &json!({})).await;
    a.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.deafened", 1).await;
    room.webhook("conference.member.muted", 1).await;
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    a.command("conference/unmute", &json!({})).await;
    room.webhook("conference.member.unmuted", 1).await;
    judge(&[a.hears(&[]), b.hears(&[&a])]).await;
    room.member(&a, "undeaf", &json!({})).await;
    room.webhook("conference.member.undeafened", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}

async fn kicked_member_is_out_of_the_room_and_stays_on_the_line(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c] = room.parties([A, B, C]).await;
    room.member(&a, "kick", &json!({})).await;
    room.webhook("conference.member.left", 1).await;
    judge(&[a.hears(&[]), b.hears(&[&c]), c.hears(&[&b])]).await;
    assert!(!a.call.is_over());
}

async fn member_that_leaves_and_returns_is_heard_again(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    a.command("conference/leave", &json!({})).await;
    room.webhook("conference.member.left", 1).await;
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    room.join(&a).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    a.call.hang_up().await;
    room.webhook("conference.member.left", 2).await;
    judge(&[b.hears(&[])]).await;
}

/// FreeSWITCH pauses the sound of a telephone that holds (re-INVITE with `sendonly`), so the room does not hear the hold
/// music of its side.
async fn telephones_own_hold_silences_both_directions_until_its_end(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c] = room.parties([A, B, C]).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&a, &c])]).await;
    a.call.hold().await;
    judge(&[a.hears(&[]), b.hears(&[&c]), c.hears(&[&b])]).await;
    a.call.resume().await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&a, &c])]).await;
}

/// Returns the loudness of a tone in decibels, against the one that telephones send.
async fn decibels(listener: &Party<'_>, tone: Tone) -> f64 {
    20.0 * loudness(listener, tone).await.log10()
}

async fn volumes_of_a_member_change_what_it_says_and_what_it_hears(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    // FreeSWITCH's steps: 4 is 12.6 dB, -2 is -4.5 dB, 2 is 7.2 dB.
    for (n, (levels, said, heard)) in [
        (json!({ "volume_in": 4 }), 12.6, 0.0),
        (json!({ "volume_in": 2, "volume_out": -2 }), 7.2, -4.5),
        (json!({ "volume_in": 0, "volume_out": 0 }), 0.0, 0.0),
    ]
    .into_iter()
    .enumerate()
    {
        room.patch_member(&a, &levels).await;
        room.webhook("conference.member.updated", n + 1).await;
        poll::until("the voice has its volume", CHANGE, async || {
            let said_by_a = decibels(&b, A).await;
            ((said_by_a - said).abs() < 1.0).then_some(())
        })
        .await;
        let heard_by_a = decibels(&a, B).await;
        assert!((heard_by_a - heard).abs() < 1.0, "{levels}: {heard_by_a}");
    }
}

async fn quiet_voice_below_the_energy_of_a_member_is_heard_by_nobody(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    room.patch_member(&a, &json!({ "energy": 1800 })).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    // The same voice from further away.
    room.patch_member(&a, &json!({ "volume_in": -3 })).await;
    judge(&[a.hears(&[&b]), b.hears(&[])]).await;
    room.patch_member(&a, &json!({ "energy": 100 })).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}
