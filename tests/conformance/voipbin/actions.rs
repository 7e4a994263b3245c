//! `pre_actions` and `post_actions`: "executed when a participant joins", and "leaves".

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        pre_actions_are_over_before_the_call_comes_in,
        pre_actions_play_before_and_post_actions_after,
        a_call_that_is_in_hears_nothing_of_the_next_ones_actions,
        in_the_order_of_their_next_ids,
        beep_and_sleep,
        hangup_ends_the_call,
        a_file_that_cannot_be_played_ends_the_run_and_the_call_is_parked,
        a_caller_who_hangs_up_ends_the_run,
        delete_of_the_conferencecall_ends_the_run,
        delete_of_the_conference_ends_the_run,
        post_actions_not_after_a_join_that_failed,
        actions_that_are_changed_count_for_the_next_call,
    ]
    Brief: [
        a_step_that_passes_its_deadline_ends_the_run,
    ]
    Plain, not in memory because "what a killed controller knew is gone": [
        a_controller_that_was_killed_goes_on_where_the_call_is,
    ]
}

fn play(urls: &[&str]) -> Value {
    json!({ "type": "play", "option": { "stream_urls": urls } })
}

fn sleep(ms: u64) -> Value {
    json!({ "type": "sleep", "option": { "duration": ms } })
}

/// The text that FreeSWITCH has written on the call about its current step.
async fn step(row: &Row<'_>, call: &Call) -> String {
    row.fs(&format!("uuid_getvar {} roomkeeper_step", call.channel))
        .await
}

/// Waits until FreeSWITCH itself plays this file to the call.
async fn until_hears(row: &Row<'_>, call: &Call, url: &str) {
    let name = url.rsplit('/').next().unwrap();
    poll::until(
        &format!("the call hears {name}"),
        poll::PATIENCE,
        async || {
            let channels = row.fs("show channels as json").await;
            let channels: Value = serde_json::from_str(&channels).unwrap_or_default();
            let rows = channels["rows"].as_array()?;
            let channel = rows.iter().find(|row| row["uuid"] == call.channel)?;
            let heard = channel["application_data"].as_str()?.contains(name);
            (channel["application"] == "playback" && heard).then_some(())
        },
    )
    .await;
}

async fn is_not_in(row: &Row<'_>, conference: &str, call: &Call) {
    let room = row.room_of_conference(conference);
    assert_eq!(row.speaks(&room, call).await, None);
    assert_eq!(row.count(&room, "conference.member.joined"), 0);
}

async fn pre_actions_are_over_before_the_call_comes_in(row: &Row<'_>) {
    let url = row.sound(60_000);
    let id = row
        .conference(json!({ "pre_actions": [play(&[&url])] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    row.until_acting(&call).await;
    until_hears(row, &call, &url).await;
    assert_eq!(row.call_is(&stay).await["status"], "joining");
    is_not_in(row, &id, &call).await;
    let room = row.place(&call).await.1;
    assert_eq!(room, json!(row.room_of_conference(&id)));
    // Its end, without the wait for it: FreeSWITCH says of it that it was played.
    row.fs(&format!("uuid_break {}", call.channel)).await;
    row.until_call(&stay, "joined").await;
}

async fn pre_actions_play_before_and_post_actions_after(row: &Row<'_>) {
    let (before, after) = (row.sound(1_500), row.sound(1_500));
    let id = row
        .conference(json!({
            "pre_actions": [play(&[&before])],
            "post_actions": [play(&[&after])],
        }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    until_hears(row, &call, &before).await;
    is_not_in(row, &id, &call).await;
    row.until_call(&stay, "joined").await;
    let answer = row.command(&call, "leave", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    until_hears(row, &call, &after).await;
    row.until_call(&stay, "leaved").await;
    assert_eq!(row.place(&call).await, ("acting".to_owned(), Value::Null));
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn a_call_that_is_in_hears_nothing_of_the_next_ones_actions(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (first, _) = row.inside(&id).await;
    let url = row.sound(1_500);
    row.good(
        "PUT",
        &format!("/conferences/{id}"),
        json!({ "pre_actions": [play(&[&url])] }),
    )
    .await;
    let second = row.call().await;
    let stay = row.sent(&id, &second).await;
    until_hears(row, &second, &url).await;
    let room = row.room_of_conference(&id);
    assert_eq!(row.speaks(&room, &first).await, Some(true));
    assert!(
        row.fs(&format!("conference {room} play_status"))
            .await
            .contains("Nothing")
    );
    row.until_call(&stay, "joined").await;
}

async fn in_the_order_of_their_next_ids(row: &Row<'_>) {
    let ids: Vec<_> = (0..3).map(|_| uuid::Uuid::new_v4()).collect();
    let (one, never, two) = (row.sound(1_500), row.no_sound(), row.sound(1_500));
    let action = |n: usize, next: usize, url: &str| {
        let mut action = play(&[url]);
        action["id"] = json!(ids[n]);
        if next > 0 {
            action["next_id"] = json!(ids[next]);
        }
        action
    };
    let id = row
        .conference(json!({
            "pre_actions": [action(0, 2, &one), action(1, 0, &never), action(2, 0, &two)],
        }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    until_hears(row, &call, &one).await;
    until_hears(row, &call, &two).await;
    // Of the one in between there is no file.
    row.until_call(&stay, "joined").await;
}

async fn beep_and_sleep(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [{ "type": "beep" }, sleep(100)] }))
        .await;
    row.inside(&id).await;
}

async fn hangup_ends_the_call(row: &Row<'_>) {
    let id = row
        .conference(json!({ "post_actions": [{ "type": "hangup" }] }))
        .await;
    let (call, stay) = row.inside(&id).await;
    row.good("DELETE", &format!("/conferencecalls/{stay}"), Value::Null)
        .await;
    row.told(&call.id, "call.hangup").await;
    row.until_call(&stay, "leaved").await;
    assert!(!row.exists(&call).await);
}

async fn fails_with(row: &Row<'_>, conference: &str, reason: &str) {
    let room = row.room_of_conference(conference);
    let told = row.told(&room, "conference.member.join_failed").await;
    assert_eq!(told.body["data"]["reason"], reason, "{}", told.body);
}

async fn a_file_that_cannot_be_played_ends_the_run_and_the_call_is_parked(row: &Row<'_>) {
    let (none, never) = (row.no_sound(), row.sound(60_000));
    let id = row
        .conference(json!({ "pre_actions": [play(&[&none, &never])] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    fails_with(row, &id, "action_failed").await;
    row.until_call(&stay, "leaved").await;
    row.until_parked(&call).await;
    is_not_in(row, &id, &call).await;
    assert!(row.exists(&call).await);
}

async fn a_caller_who_hangs_up_ends_the_run(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [sleep(60_000)] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    row.until_acting(&call).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    fails_with(row, &id, "hangup").await;
    row.until_call(&stay, "leaved").await;
}

async fn delete_of_the_conferencecall_ends_the_run(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [sleep(60_000)] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    row.until_acting(&call).await;
    row.good("DELETE", &format!("/conferencecalls/{stay}"), Value::Null)
        .await;
    fails_with(row, &id, "removed").await;
    row.until_call(&stay, "leaved").await;
    row.until_parked(&call).await;
    is_not_in(row, &id, &call).await;
}

async fn delete_of_the_conference_ends_the_run(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [sleep(60_000)] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    row.until_acting(&call).await;
    row.good("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    fails_with(row, &id, "room_destroyed").await;
    row.until_conference(&id, "terminated").await;
    row.until_call(&stay, "leaved").await;
    row.until_parked(&call).await;
}

async fn post_actions_not_after_a_join_that_failed(row: &Row<'_>) {
    let none = row.no_sound();
    let id = row
        .conference(json!({
            "pre_actions": [play(&[&none])],
            "post_actions": [{ "type": "hangup" }],
        }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    fails_with(row, &id, "action_failed").await;
    row.until_call(&stay, "leaved").await;
    row.until_parked(&call).await;
    // It can do something else: so nothing is under way any more.
    let other = row.conference(json!({})).await;
    let stay = row.sent(&other, &call).await;
    row.until_call(&stay, "joined").await;
    assert!(row.exists(&call).await);
}

async fn actions_that_are_changed_count_for_the_next_call(row: &Row<'_>) {
    let none = row.no_sound();
    let id = row
        .conference(json!({ "pre_actions": [play(&[&none])] }))
        .await;
    let call = row.call().await;
    row.sent(&id, &call).await;
    fails_with(row, &id, "action_failed").await;
    row.good(
        "PUT",
        &format!("/conferences/{id}"),
        json!({ "pre_actions": [] }),
    )
    .await;
    row.inside(&id).await;
}

async fn a_step_that_passes_its_deadline_ends_the_run(row: &Row<'_>) {
    let url = row.sound(600_000);
    let id = row
        .conference(json!({ "pre_actions": [play(&[&url])] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    until_hears(row, &call, &url).await;
    fails_with(row, &id, "action_failed").await;
    row.until_call(&stay, "leaved").await;
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn a_controller_that_was_killed_goes_on_where_the_call_is(row: &Row<'_>) {
    let mut row = row.alone(|_| {}).await;
    let (one, two) = (row.sound(2_000), row.sound(2_000));
    let id = row
        .conference(json!({ "pre_actions": [play(&[&one, &two])] }))
        .await;
    let call = row.call().await;
    let stay = row.sent(&id, &call).await;
    until_hears(&row, &call, &one).await;
    row.world_mut().controller.kill();
    // FreeSWITCH ends the first file while nobody is there to tell it of the second.
    poll::until("the first file is over", poll::PATIENCE, async || {
        step(&row, &call).await.contains('=').then_some(())
    })
    .await;
    assert!(step(&row, &call).await.contains(".0="));
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    until_hears(&row, &call, &two).await;
    row.until_call(&stay, "joined").await;
    row.check_story();
}
