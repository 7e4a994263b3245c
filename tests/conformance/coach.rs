//! Coaching: `POST /api/v1/conferences/{room_id}/members/{session}/coach` and `/uncoach`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        coach_answers_202_and_freeswitch_lets_it_listen_to_the_member,
        coach_webhooks_include_the_coach_and_the_command_uid,
        coach_is_shown_with_its_session_and_its_member,
        uncoach_parks_the_coach,
        coach_is_parked_when_the_member_leaves,
        coach_is_parked_when_the_member_hangs_up,
        coaching_ends_when_the_coach_hangs_up,
        coaching_ends_when_another_client_moves_the_coach,
        coach_cannot_join_a_conference,
        coach_403_404_409_400_and_repeated_with_the_same_command_uid,
        uncoach_404_409,
        deleted_conference_ends_its_coachings,
    ]
    Own, not in memory because "a killed controller loses its state": [
        coaching_outlives_a_restart_of_the_controller,
    ]
}

async fn coach(row: &Row<'_>, room: &str, member: &Call, coach: &Call, uid: &str) -> Answer {
    let path = format!("members/{}/coach", member.id);
    let body = json!({ "session": coach.id, "command_uid": uid });
    row.control(room, &path, body).await
}

async fn uncoach(row: &Row<'_>, room: &str, member: &Call, uid: &str) -> Answer {
    let path = format!("members/{}/uncoach", member.id);
    row.control(room, &path, json!({ "command_uid": uid }))
        .await
}

/// A room with a member that has a coach.
async fn coached(row: &Row<'_>) -> (String, Call, Call) {
    let (room, member) = row.room_with_member().await;
    let by = row.call().await;
    let answer = coach(row, &room, &member, &by, "c-1").await;
    answer.is(202, json!({ "status": "in_progress", "coach": by.id }));
    row.webhook(&room, "conference.member.coached").await;
    (room, member, by)
}

/// Returns the application that the call runs, with its argument.
async fn application(row: &Row<'_>, call: &Call) -> String {
    let var = async |name: &str| {
        row.fs(&format!("uuid_getvar {} {name}", call.channel))
            .await
    };
    let app = var("current_application").await;
    let argument = var("current_application_data").await;
    format!("{} {}", app.trim(), argument.trim())
}

async fn until_runs(row: &Row<'_>, call: &Call, wanted: &str) {
    let what = format!("{} runs {wanted}", call.id);
    poll::until(&what, poll::TIMEOUT, async || {
        (application(row, call).await == wanted).then_some(())
    })
    .await;
}

async fn ends_with(row: &Row<'_>, (room, member, by): (&str, &Call, &Call), reason: &str) {
    let data = json!({ "coach": by.id, "reason": reason });
    row.check_first_webhook(room, "conference.member.uncoached", Some(member), data)
        .await;
}

async fn coach_answers_202_and_freeswitch_lets_it_listen_to_the_member(row: &Row<'_>) {
    let (_, member, by) = coached(row).await;
    until_runs(row, &by, &format!("eavesdrop {}", member.channel)).await;
}

async fn coach_webhooks_include_the_coach_and_the_command_uid(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    let data = json!({ "coach": by.id, "command_uid": "c-1" });
    row.check_first_webhook(&room, "conference.member.coached", Some(&member), data)
        .await;
    let answer = uncoach(row, &room, &member, "u-1").await;
    answer.is(202, json!({ "status": "stopping", "coach": by.id }));
    let data = json!({ "coach": by.id, "reason": "requested", "command_uid": "u-1" });
    row.check_first_webhook(&room, "conference.member.uncoached", Some(&member), data)
        .await;
}

async fn coach_is_shown_with_its_session_and_its_member(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    let state = row.state_and_room(&by).await;
    assert_eq!(state, ("coaching".to_owned(), Value::Null));
    let shown = row.members(&room).await.body["members"][0].clone();
    assert_eq!(
        (&shown["uuid"], &shown["coach"]),
        (&json!(member.id), &json!(by.id))
    );
    uncoach(row, &room, &member, "u").await;
    row.until_parked(&by).await;
    let shown = row.members(&room).await.body["members"][0].clone();
    assert_eq!(shown["coach"], Value::Null);
}

async fn uncoach_parks_the_coach(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    uncoach(row, &room, &member, "u").await;
    row.until_parked(&by).await;
    until_runs(row, &by, "park _undef_").await;
    // It can coach again.
    let again = coach(row, &room, &member, &by, "c-2").await;
    assert_eq!(again.status, 202, "{}", again.body);
    row.nth_webhook(&room, "conference.member.coached", 2).await;
}

async fn coach_is_parked_when_the_member_leaves(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    row.command(&member, "leave", Value::Null).await;
    ends_with(row, (&room, &member, &by), "member_left").await;
    row.until_parked(&by).await;
    until_runs(row, &by, "park _undef_").await;
}

async fn coach_is_parked_when_the_member_hangs_up(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    row.fs(&format!("uuid_kill {}", member.channel)).await;
    ends_with(row, (&room, &member, &by), "member_left").await;
    row.until_parked(&by).await;
    assert!(row.exists(&by).await);
}

async fn coaching_ends_when_the_coach_hangs_up(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    row.fs(&format!("uuid_kill {}", by.channel)).await;
    ends_with(row, (&room, &member, &by), "hangup").await;
    assert!(row.exists(&member).await);
}

async fn coaching_ends_when_another_client_moves_the_coach(row: &Row<'_>) {
    let (room, member, by) = coached(row).await;
    let enter = format!("conference:{room}@roomkeeper,park");
    row.fs(&format!("uuid_transfer {} {enter} inline", by.channel))
        .await;
    ends_with(row, (&room, &member, &by), "removed").await;
    row.nth_webhook(&room, "conference.member.joined", 2).await;
}

async fn coach_cannot_join_a_conference(row: &Row<'_>) {
    let (room, _, by) = coached(row).await;
    let answer = row.request_join(&by, &room).await;
    answer.fails(409);
    assert_eq!(
        answer.text("error"),
        "the session coaches a member of a conference"
    );
}

async fn coach_403_404_409_400_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let (room, member) = row.room_with_member().await;
    let (by, other) = (row.call().await, row.member(&room).await);
    let theirs = row.room_of(row.other()).await;
    let stranger = row.call_of(row.other()).await;
    let empty = row.room().await;
    let path = format!("members/{}/coach", member.id);
    row.control(&room, &path, json!({})).await.fails(400);
    coach(row, &theirs, &member, &by, "a").await.fails(403);
    coach(row, &room, &member, &stranger, "b").await.fails(403);
    coach(row, &empty, &member, &by, "c").await.fails(404);
    coach(row, &room, &by, &by, "d").await.fails(409);
    coach(row, &room, &member, &member, "e").await.fails(409);
    // A call in a conference leaves it first.
    coach(row, &room, &member, &other, "f").await.fails(409);
    let first = coach(row, &room, &member, &by, "g").await;
    assert_eq!(first.status, 202, "{}", first.body);
    row.webhook(&room, "conference.member.coached").await;
    let again = coach(row, &room, &member, &by, "g").await;
    again.is(202, first.body);
    let third = row.call().await;
    coach(row, &room, &member, &third, "h").await.fails(409);
    coach(row, &room, &other, &by, "i").await.fails(409);
}

async fn uncoach_404_409(row: &Row<'_>) {
    let (room, member) = row.room_with_member().await;
    let other = row.call().await;
    uncoach(row, &room, &member, "a").await.fails(409);
    uncoach(row, &room, &other, "b").await.fails(404);
}

async fn deleted_conference_ends_its_coachings(row: &Row<'_>) {
    let (room, _, by) = coached(row).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.coached",
            "conference.member.left",
            "conference.member.uncoached",
        ],
    )
    .await;
    row.until_parked(&by).await;
}

async fn coaching_outlives_a_restart_of_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (room, member, by) = coached(&row).await;
    row.world_mut().controller.kill();
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    assert_eq!(row.state_and_room(&by).await.0, "coaching");
    // The member ends while no controller receives the events: FreeSWITCH parks the coach.
    row.world_mut().controller.kill();
    row.fs(&format!("uuid_kill {}", member.channel)).await;
    until_runs(&row, &by, "park _undef_").await;
    row.world_mut().controller.start_again();
    row.webhook(&room, "conference.member.uncoached").await;
    row.until_parked(&by).await;
    row.check_webhooks();
}
