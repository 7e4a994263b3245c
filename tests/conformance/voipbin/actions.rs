//! `pre_actions` and `post_actions`: "executed when a participant joins", and "leaves".

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        pre_actions_are_over_before_the_call_comes_in,
        pre_actions_play_before_and_post_actions_after,
        members_do_not_hear_the_actions_of_the_next_call,
        actions_run_in_the_order_of_their_next_ids,
        beep_and_sleep,
        hangup_ends_the_call,
        unplayable_file_ends_the_run_and_parks_the_call,
        hangup_ends_the_run,
        delete_of_the_conferencecall_ends_the_run,
        delete_of_the_conference_ends_the_run,
        post_actions_not_after_a_join_that_failed,
        changed_actions_apply_to_the_next_call,
    ]
    Brief: [
        step_that_passes_its_deadline_ends_the_run,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        actions_continue_after_the_controller_was_killed,
    ]
}

fn play(urls: &[&str]) -> Value {
    json!({ "type": "play", "option": { "stream_urls": urls } })
}

fn sleep(ms: u64) -> Value {
    json!({ "type": "sleep", "option": { "duration": ms } })
}

/// Reads the variable in which FreeSWITCH stores the call's current step.
async fn step(row: &Row<'_>, call: &Call) -> String {
    row.fs(&format!("uuid_getvar {} roomkeeper_step", call.channel))
        .await
}

/// Waits until FreeSWITCH itself plays this file to the call.
async fn until_hears(row: &Row<'_>, call: &Call, url: &str) {
    let name = url.rsplit('/').next().unwrap();
    poll::until(
        &format!("the call hears {name}"),
        poll::TIMEOUT,
        async || {
            let channels = row.fs("show channels as json").await;
            let channels: Value = serde_json::from_str(&channels).unwrap_or_default();
            let rows = channels["rows"].as_array()?;
            let channel = rows.iter().find(|row| row["uuid"] == call.channel)?;
            let plays_file = channel["application_data"].as_str()?.contains(name);
            (channel["application"] == "playback" && plays_file).then_some(())
        },
    )
    .await;
}

async fn check_is_not_in(row: &Row<'_>, conference: &str, call: &Call) {
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
    let membership = row.send_in(&id, &call).await;
    row.until_acting(&call).await;
    until_hears(row, &call, &url).await;
    assert_eq!(
        row.read_conferencecall(&membership).await["status"],
        "joining"
    );
    check_is_not_in(row, &id, &call).await;
    let room = row.state_and_room(&call).await.1;
    assert_eq!(room, json!(row.room_of_conference(&id)));
    // Ends the file without waiting for its duration: FreeSWITCH reports it as played.
    row.fs(&format!("uuid_break {}", call.channel)).await;
    row.until_conferencecall(&membership, "joined").await;
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
    let membership = row.send_in(&id, &call).await;
    until_hears(row, &call, &before).await;
    check_is_not_in(row, &id, &call).await;
    row.until_conferencecall(&membership, "joined").await;
    let answer = row.command(&call, "leave", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    until_hears(row, &call, &after).await;
    row.until_conferencecall(&membership, "leaved").await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("acting".to_owned(), Value::Null)
    );
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn members_do_not_hear_the_actions_of_the_next_call(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (first, _) = row.joined_call(&id).await;
    let url = row.sound(1_500);
    row.send_ok(
        "PUT",
        &format!("/conferences/{id}"),
        json!({ "pre_actions": [play(&[&url])] }),
    )
    .await;
    let second = row.call().await;
    let membership = row.send_in(&id, &second).await;
    until_hears(row, &second, &url).await;
    let room = row.room_of_conference(&id);
    assert_eq!(row.speaks(&room, &first).await, Some(true));
    assert!(
        row.fs(&format!("conference {room} play_status"))
            .await
            .contains("Nothing")
    );
    row.until_conferencecall(&membership, "joined").await;
}

async fn actions_run_in_the_order_of_their_next_ids(row: &Row<'_>) {
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
    let membership = row.send_in(&id, &call).await;
    until_hears(row, &call, &one).await;
    until_hears(row, &call, &two).await;
    // The action in between has no file.
    row.until_conferencecall(&membership, "joined").await;
}

async fn beep_and_sleep(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [{ "type": "beep" }, sleep(100)] }))
        .await;
    row.joined_call(&id).await;
}

async fn hangup_ends_the_call(row: &Row<'_>) {
    let id = row
        .conference(json!({ "post_actions": [{ "type": "hangup" }] }))
        .await;
    let (call, membership) = row.joined_call(&id).await;
    row.send_ok(
        "DELETE",
        &format!("/conferencecalls/{membership}"),
        Value::Null,
    )
    .await;
    row.webhook(&call.id, "call.hangup").await;
    row.until_conferencecall(&membership, "leaved").await;
    assert!(!row.exists(&call).await);
}

async fn fails_with(row: &Row<'_>, conference: &str, reason: &str) {
    let room = row.room_of_conference(conference);
    let webhook = row.webhook(&room, "conference.member.join_failed").await;
    assert_eq!(webhook.body["data"]["reason"], reason, "{}", webhook.body);
}

async fn unplayable_file_ends_the_run_and_parks_the_call(row: &Row<'_>) {
    let (none, never) = (row.no_sound(), row.sound(60_000));
    let id = row
        .conference(json!({ "pre_actions": [play(&[&none, &never])] }))
        .await;
    let call = row.call().await;
    let membership = row.send_in(&id, &call).await;
    fails_with(row, &id, "action_failed").await;
    row.until_conferencecall(&membership, "leaved").await;
    row.until_parked(&call).await;
    check_is_not_in(row, &id, &call).await;
    assert!(row.exists(&call).await);
}

async fn hangup_ends_the_run(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [sleep(60_000)] }))
        .await;
    let call = row.call().await;
    let membership = row.send_in(&id, &call).await;
    row.until_acting(&call).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    fails_with(row, &id, "hangup").await;
    row.until_conferencecall(&membership, "leaved").await;
}

async fn delete_of_the_conferencecall_ends_the_run(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [sleep(60_000)] }))
        .await;
    let call = row.call().await;
    let membership = row.send_in(&id, &call).await;
    row.until_acting(&call).await;
    row.send_ok(
        "DELETE",
        &format!("/conferencecalls/{membership}"),
        Value::Null,
    )
    .await;
    fails_with(row, &id, "removed").await;
    row.until_conferencecall(&membership, "leaved").await;
    row.until_parked(&call).await;
    check_is_not_in(row, &id, &call).await;
}

async fn delete_of_the_conference_ends_the_run(row: &Row<'_>) {
    let id = row
        .conference(json!({ "pre_actions": [sleep(60_000)] }))
        .await;
    let call = row.call().await;
    let membership = row.send_in(&id, &call).await;
    row.until_acting(&call).await;
    row.send_ok("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    fails_with(row, &id, "room_destroyed").await;
    row.until_conference(&id, "terminated").await;
    row.until_conferencecall(&membership, "leaved").await;
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
    let membership = row.send_in(&id, &call).await;
    fails_with(row, &id, "action_failed").await;
    row.until_conferencecall(&membership, "leaved").await;
    row.until_parked(&call).await;
    // The call accepts another command, so no action is under way.
    let other = row.conference(json!({})).await;
    let membership = row.send_in(&other, &call).await;
    row.until_conferencecall(&membership, "joined").await;
    assert!(row.exists(&call).await);
}

async fn changed_actions_apply_to_the_next_call(row: &Row<'_>) {
    let none = row.no_sound();
    let id = row
        .conference(json!({ "pre_actions": [play(&[&none])] }))
        .await;
    let call = row.call().await;
    row.send_in(&id, &call).await;
    fails_with(row, &id, "action_failed").await;
    row.send_ok(
        "PUT",
        &format!("/conferences/{id}"),
        json!({ "pre_actions": [] }),
    )
    .await;
    row.joined_call(&id).await;
}

async fn step_that_passes_its_deadline_ends_the_run(row: &Row<'_>) {
    let url = row.sound(600_000);
    let id = row
        .conference(json!({ "pre_actions": [play(&[&url])] }))
        .await;
    let call = row.call().await;
    let membership = row.send_in(&id, &call).await;
    until_hears(row, &call, &url).await;
    fails_with(row, &id, "action_failed").await;
    row.until_conferencecall(&membership, "leaved").await;
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn actions_continue_after_the_controller_was_killed(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (one, two) = (row.sound(2_000), row.sound(2_000));
    let id = row
        .conference(json!({ "pre_actions": [play(&[&one, &two])] }))
        .await;
    let call = row.call().await;
    let membership = row.send_in(&id, &call).await;
    until_hears(&row, &call, &one).await;
    row.world_mut().controller.kill();
    // FreeSWITCH ends the first file while no controller runs that could start the second.
    poll::until("the first file is over", poll::TIMEOUT, async || {
        step(&row, &call).await.contains('=').then_some(())
    })
    .await;
    assert!(step(&row, &call).await.contains(".0="));
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    until_hears(&row, &call, &two).await;
    row.until_conferencecall(&membership, "joined").await;
    row.check_webhooks();
}
