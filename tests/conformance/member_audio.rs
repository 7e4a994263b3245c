//! The sound that one member alone hears: `POST /api/v1/conferences/{room_id}/members/{session}/hold`, `/unhold`, `/play` and
//! `/stop`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        hold_answers_202_and_the_member_neither_speaks_nor_hears_in_freeswitch,
        hold_webhook_held_includes_music_url_and_the_command_uid,
        hold_plays_music_that_repeats,
        hold_without_music_and_with_a_missing_file_is_silent,
        unhold_answers_202_and_the_member_hears_again,
        unhold_keeps_a_deaf_member_deaf,
        deaf_and_undeaf_while_held_apply_after_the_hold,
        mute_while_held_works_at_once,
        member_list_shows_held_while_held,
        hold_by_another_client_is_reported_and_deafens,
        unhold_by_another_client_is_reported_and_the_member_hears_again,
        undeaf_of_a_held_member_by_another_client_is_mended,
        hold_400_a_music_url_that_may_not_be_played,
        hold_403_404_409_and_repeated_with_the_same_command_uid,
        unhold_403_404_409,
        play_answers_202_with_operation_id_and_status_in_progress,
        play_webhooks_started_and_finished_name_the_session,
        play_webhook_finished_lists_the_files_that_could_not_be_played,
        play_reaches_only_that_member,
        play_while_held_interrupts_the_music,
        play_webhook_stopped_when_the_member_leaves,
        play_400_bad_urls,
        play_403_404_409,
        stop_answers_202_and_ends_all_operations,
        stop_of_nothing_answers_202_with_an_empty_operation_id,
    ]
    Own: [
        hold_whose_events_are_lost_is_found_by_a_snapshot,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        hold_and_its_music_outlive_the_controller,
    ]
}

async fn of_member(row: &Row<'_>, room: &str, call: &Call, what: &str, body: Value) -> Answer {
    let path = format!("members/{}/{what}", call.id);
    row.control(room, &path, body).await
}

/// Holds the member and waits for the webhook.
async fn hold(row: &Row<'_>, room: &str, call: &Call, body: Value) {
    let before = row.count(room, "conference.member.held");
    let answer = of_member(row, room, call, "hold", body).await;
    answer.is(202, json!({ "status": "held", "room_id": room }));
    row.nth_webhook(room, "conference.member.held", before + 1)
        .await;
}

async fn unhold(row: &Row<'_>, room: &str, call: &Call) {
    let answer = of_member(row, room, call, "unhold", Value::Null).await;
    answer.is(202, json!({ "status": "unheld", "room_id": room }));
    row.webhook(room, "conference.member.unheld").await;
}

async fn act(row: &Row<'_>, room: &str, call: &Call, action: &str) -> String {
    let command = format!("conference {room} {action} uuid={}", call.channel);
    row.fs(&command).await
}

/// Returns FreeSWITCH's flags of the member.
async fn flags(row: &Row<'_>, room: &str, call: &Call) -> Value {
    let listed = row.fs("conference json_list compact").await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut rooms = listed.as_array().unwrap().iter();
    let listed = rooms.find(|one| one["conference_name"] == room).unwrap();
    let members = listed["members"].as_array().unwrap();
    let member = members.iter().find(|one| one["uuid"] == *call.channel);
    member.unwrap()["flags"].clone()
}

async fn until_hears(row: &Row<'_>, room: &str, call: &Call, hears: bool) {
    let what = format!("FreeSWITCH lets the member hear: {hears}");
    poll::until(&what, poll::TIMEOUT, async || {
        (flags(row, room, call).await["can_hear"] == hears).then_some(())
    })
    .await;
}

/// Asserts that FreeSWITCH does not let a held member hear the room. Its list hides that while it holds the member, so it is
/// unheld for a moment, without the knowledge of the controller.
async fn assert_silent(row: &Row<'_>, room: &str, call: &Call) {
    let hold = row.hold_room(room);
    act(row, room, call, "unhold").await;
    let flags = flags(row, room, call).await;
    act(row, room, call, "hold").await;
    hold.until_held("Action: hold-member").await;
    hold.lose();
    assert_eq!(
        (&flags["can_hear"], &flags["hold"]),
        (&json!(false), &json!(false))
    );
}

/// Waits until FreeSWITCH plays this file to the member; `None`: no file.
async fn until_plays(row: &Row<'_>, room: &str, call: &Call, url: Option<&str>) {
    let wanted = url.map_or("Nothing is playing", |url| url.rsplit('/').next().unwrap());
    let what = format!("FreeSWITCH reports {wanted}");
    poll::until(&what, poll::TIMEOUT, async || {
        let status = act(row, room, call, "play_status").await;
        status.contains(wanted).then_some(())
    })
    .await;
}

async fn play(row: &Row<'_>, room: &str, call: &Call, urls: &[&str]) -> String {
    let answer = of_member(row, room, call, "play", json!({ "urls": urls })).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.text("operation_id")
}

async fn hold_answers_202_and_the_member_neither_speaks_nor_hears_in_freeswitch(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    hold(row, &room, &call, Value::Null).await;
    let flags = flags(row, &room, &call).await;
    for (flag, value) in [("hold", true), ("can_hear", false), ("can_speak", false)] {
        assert_eq!(flags[flag], value, "{flags}");
    }
    assert_silent(row, &room, &call).await;
}

async fn hold_webhook_held_includes_music_url_and_the_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let url = row.sound(60_000);
    let body = json!({ "music_url": url, "command_uid": "h.1" });
    of_member(row, &room, &call, "hold", body).await;
    let data = json!({ "music_url": url, "command_uid": "h.1" });
    row.check_first_webhook(&room, "conference.member.held", Some(&call), data)
        .await;
    let body = json!({ "command_uid": "u.1" });
    of_member(row, &room, &call, "unhold", body).await;
    let data = json!({ "command_uid": "u.1" });
    row.check_first_webhook(&room, "conference.member.unheld", Some(&call), data)
        .await;
}

async fn hold_plays_music_that_repeats(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let url = row.sound(500);
    hold(row, &room, &call, json!({ "music_url": url })).await;
    for _ in 0..2 {
        until_plays(row, &room, &call, Some(&url)).await;
        until_plays(row, &room, &call, None).await;
    }
    until_plays(row, &room, &call, Some(&url)).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.held",
            "conference.member.left",
        ],
    )
    .await;
}

async fn hold_without_music_and_with_a_missing_file_is_silent(row: &Row<'_>) {
    for body in [json!({}), json!({ "music_url": row.no_sound() })] {
        let (room, call) = row.room_with_member().await;
        hold(row, &room, &call, body).await;
        until_plays(row, &room, &call, None).await;
        assert_silent(row, &room, &call).await;
    }
}

async fn unhold_answers_202_and_the_member_hears_again(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    row.command(&call, "unmute", Value::Null).await;
    row.webhook(&room, "conference.member.unmuted").await;
    let url = row.sound(60_000);
    hold(row, &room, &call, json!({ "music_url": url })).await;
    until_plays(row, &room, &call, Some(&url)).await;
    unhold(row, &room, &call).await;
    until_plays(row, &room, &call, None).await;
    until_hears(row, &room, &call, true).await;
    let flags = flags(row, &room, &call).await;
    assert_eq!(flags["can_speak"], true, "{flags}");
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.unmuted",
            "conference.member.held",
            "conference.member.unheld",
            "conference.member.left",
        ],
    )
    .await;
}

async fn unhold_keeps_a_deaf_member_deaf(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    of_member(row, &room, &call, "deaf", Value::Null).await;
    row.webhook(&room, "conference.member.deafened").await;
    hold(row, &room, &call, Value::Null).await;
    unhold(row, &room, &call).await;
    let flags = flags(row, &room, &call).await;
    assert_eq!(flags["can_hear"], false, "{flags}");
    let member = row.members(&room).await.body["members"][0].clone();
    assert_eq!(member["deaf"], true, "{member}");
}

async fn deaf_and_undeaf_while_held_apply_after_the_hold(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    hold(row, &room, &call, Value::Null).await;
    for (command, event, deaf) in [
        ("deaf", "conference.member.deafened", Some(true)),
        ("undeaf", "conference.member.undeafened", None),
    ] {
        let answer = of_member(
            row,
            &room,
            &call,
            command,
            json!({ "command_uid": command }),
        )
        .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let data = json!({ "command_uid": command });
        row.check_first_webhook(&room, event, Some(&call), data)
            .await;
        let member = row.members(&room).await.body["members"][0].clone();
        assert_eq!(
            member.get("deaf"),
            deaf.map(Value::from).as_ref(),
            "{member}"
        );
        assert_silent(row, &room, &call).await;
    }
    unhold(row, &room, &call).await;
    until_hears(row, &room, &call, true).await;
}

async fn mute_while_held_works_at_once(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    hold(row, &room, &call, Value::Null).await;
    row.command(&call, "unmute", Value::Null).await;
    row.webhook(&room, "conference.member.unmuted").await;
    unhold(row, &room, &call).await;
    row.until_speaks(&room, &call, Some(true)).await;
}

async fn member_list_shows_held_while_held(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let member = row.members(&room).await.body["members"][0].clone();
    assert_eq!(member.get("held"), None, "{member}");
    hold(row, &room, &call, Value::Null).await;
    let member = row.members(&room).await.body["members"][0].clone();
    assert_eq!(member["held"], true, "{member}");
    assert_eq!(member.get("deaf"), None, "{member}");
    unhold(row, &room, &call).await;
    let member = row.members(&room).await.body["members"][0].clone();
    assert_eq!(member.get("held"), None, "{member}");
}

async fn hold_by_another_client_is_reported_and_deafens(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    act(row, &room, &call, "hold").await;
    row.check_first_webhook(&room, "conference.member.held", Some(&call), json!({}))
        .await;
    // FreeSWITCH hides the flag while it holds the member, and shows it after.
    let events = row.hold_room(&room);
    act(row, &room, &call, "unhold").await;
    until_hears(row, &room, &call, false).await;
    events.release();
    row.check_first_webhook(&room, "conference.member.unheld", Some(&call), json!({}))
        .await;
    until_hears(row, &room, &call, true).await;
}

async fn unhold_by_another_client_is_reported_and_the_member_hears_again(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let url = row.sound(60_000);
    hold(row, &room, &call, json!({ "music_url": url })).await;
    until_plays(row, &room, &call, Some(&url)).await;
    act(row, &room, &call, "unhold").await;
    row.check_first_webhook(&room, "conference.member.unheld", Some(&call), json!({}))
        .await;
    until_hears(row, &room, &call, true).await;
    until_plays(row, &room, &call, None).await;
}

async fn undeaf_of_a_held_member_by_another_client_is_mended(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    hold(row, &room, &call, Value::Null).await;
    let before = row.hold_room(&room);
    act(row, &room, &call, "undeaf").await;
    before.until_held("Action: undeaf-member").await;
    let after = row.hold_room(&room);
    before.release();
    after.until_held("Action: deaf-member").await;
    after.release();
    assert_silent(row, &room, &call).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.held",
            "conference.member.left",
        ],
    )
    .await;
}

async fn hold_400_a_music_url_that_may_not_be_played(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for bad in [
        json!(7),
        json!([]),
        json!(""),
        json!("/etc/passwd"),
        json!("shell_stream:///bin/ls"),
        json!("{loops=1}http://127.0.0.1/a.wav"),
        json!("http://user:secret@127.0.0.1/a.wav"),
    ] {
        let body = json!({ "music_url": bad });
        let answer = of_member(row, &room, &call, "hold", body).await;
        answer.names_field("music_url");
    }
}

async fn hold_403_404_409_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (theirs, empty) = (row.room_of(row.other()).await, row.room().await);
    let parked = row.call().await;
    let body = || json!({ "command_uid": "h" });
    let refused = of_member(row, &theirs, &call, "hold", body()).await;
    refused.fails(403);
    for (room, call) in [(&empty, &call), (&room, &parked)] {
        let refused = of_member(row, room, call, "hold", body()).await;
        refused.fails(404);
    }
    for _ in 0..2 {
        let answer = of_member(row, &room, &call, "hold", body()).await;
        answer.is(202, json!({ "status": "held", "room_id": room }));
        row.webhook(&room, "conference.member.held").await;
    }
    let again = of_member(row, &room, &call, "hold", Value::Null).await;
    again.fails(409);
}

async fn unhold_403_404_409(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (theirs, empty) = (row.room_of(row.other()).await, row.room().await);
    for (room, status) in [(&theirs, 403), (&empty, 404), (&room, 409)] {
        let refused = of_member(row, room, &call, "unhold", Value::Null).await;
        refused.fails(status);
    }
}

async fn play_answers_202_with_operation_id_and_status_in_progress(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "urls": [row.sound(200)] });
    let answer = of_member(row, &room, &call, "play", body).await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
}

async fn play_webhooks_started_and_finished_name_the_session(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let urls = [row.sound(200), row.sound(200)];
    let body = json!({ "urls": urls, "command_uid": "p.1" });
    let answer = of_member(row, &room, &call, "play", body).await;
    let operation = answer.text("operation_id");
    let data = json!({ "urls": urls, "operation_id": operation, "command_uid": "p.1" });
    let started = "conference.member.play.started";
    row.check_first_webhook(&room, started, Some(&call), data)
        .await;
    let data = json!({ "errors": [], "operation_id": operation });
    let finished = "conference.member.play.finished";
    row.check_first_webhook(&room, finished, Some(&call), data)
        .await;
    let expected = [
        "conference.member.joined",
        started,
        finished,
        "conference.member.left",
    ];
    row.check_only_webhooks(&room, &expected).await;
}

async fn play_webhook_finished_lists_the_files_that_could_not_be_played(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (bad, good) = (row.no_sound(), row.sound(200));
    let operation = play(row, &room, &call, &[&bad, &good]).await;
    let error = json!({ "url": bad, "error": "the file could not be played" });
    let data = json!({ "errors": [error], "operation_id": operation });
    let finished = "conference.member.play.finished";
    row.check_first_webhook(&room, finished, Some(&call), data)
        .await;
}

async fn play_reaches_only_that_member(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let other = row.member(&room).await;
    let url = row.sound(60_000);
    play(row, &room, &call, &[&url]).await;
    until_plays(row, &room, &call, Some(&url)).await;
    let nothing = "Nothing is playing";
    let status = act(row, &room, &other, "play_status").await;
    assert!(status.contains(nothing), "{status}");
    row.until_plays(&room, None).await;
    assert_eq!(row.status(&room).await.body["playback_status"], "stopped");
}

async fn play_while_held_interrupts_the_music(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (music, url) = (row.sound(60_000), row.sound(500));
    hold(row, &room, &call, json!({ "music_url": music })).await;
    until_plays(row, &room, &call, Some(&music)).await;
    let operation = play(row, &room, &call, &[&url]).await;
    until_plays(row, &room, &call, Some(&url)).await;
    let data = json!({ "errors": [], "operation_id": operation });
    let finished = "conference.member.play.finished";
    row.check_first_webhook(&room, finished, Some(&call), data)
        .await;
    until_plays(row, &room, &call, Some(&music)).await;
}

async fn play_webhook_stopped_when_the_member_leaves(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let operation = play(row, &room, &call, &[&row.sound(60_000)]).await;
    row.command(&call, "leave", Value::Null).await;
    let stopped = "conference.member.play.stopped";
    let data = json!({ "operation_id": operation });
    row.check_first_webhook(&room, stopped, Some(&call), data)
        .await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.play.started",
            stopped,
            "conference.member.left",
        ],
    )
    .await;
}

async fn play_400_bad_urls(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for (bad, field) in [
        (Value::Null, "urls"),
        (json!([]), "urls"),
        (json!(["/etc/passwd"]), "urls[0]"),
        (json!([row.sound(200), "say:hello"]), "urls[1]"),
    ] {
        let body = json!({ "urls": bad });
        let answer = of_member(row, &room, &call, "play", body).await;
        answer.names_field(field);
    }
}

async fn play_403_404_409(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (theirs, empty) = (row.room_of(row.other()).await, row.room().await);
    let url = row.sound(60_000);
    let unknown = format!("members/{}-{}/play", row.node(), Uuid::new_v4());
    let body = || json!({ "urls": [url] });
    row.control(&room, &unknown, body()).await.fails(404);
    for (room, status) in [(&theirs, 403), (&empty, 404)] {
        let refused = of_member(row, room, &call, "play", body()).await;
        refused.fails(status);
    }
    for _ in 0..16 {
        play(row, &room, &call, &[&url]).await;
    }
    let full = of_member(row, &room, &call, "play", body()).await;
    full.fails(409);
}

async fn stop_answers_202_and_ends_all_operations(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let url = row.sound(60_000);
    let first = play(row, &room, &call, &[&url]).await;
    let second = play(row, &room, &call, &[&row.sound(200)]).await;
    until_plays(row, &room, &call, Some(&url)).await;
    let body = json!({ "command_uid": "s.1" });
    let answer = of_member(row, &room, &call, "stop", body).await;
    answer.is(202, json!({ "operation_id": first, "status": "stopped" }));
    for (n, operation) in [first, second].iter().enumerate() {
        let name = "conference.member.play.stopped";
        let webhook = row.nth_webhook(&room, name, n + 1).await;
        let data = json!({ "operation_id": operation, "command_uid": "s.1" });
        row.check_webhook(&webhook, &room, Some(&call), data);
    }
    until_plays(row, &room, &call, None).await;
}

async fn stop_of_nothing_answers_202_with_an_empty_operation_id(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let answer = of_member(row, &room, &call, "stop", Value::Null).await;
    answer.is(202, json!({ "operation_id": "", "status": "stopped" }));
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn hold_whose_events_are_lost_is_found_by_a_snapshot(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let events = row.hold_room(&room);
    let answer = of_member(row, &room, &call, "hold", json!({ "command_uid": "h" })).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    events.until_held("Action: hold-member").await;
    events.lose();
    let path = format!("/admin/nodes/{}/resync", row.node());
    let answer = row.running.world.controller.operate(&path).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let data = json!({ "command_uid": "h", "synthesized": true });
    row.check_first_webhook(&room, "conference.member.held", Some(&call), data)
        .await;
    assert_silent(row, &room, &call).await;
}

async fn hold_and_its_music_outlive_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (room, call) = row.room_with_member().await;
    let url = row.sound(1_000);
    hold(&row, &room, &call, json!({ "music_url": url })).await;
    until_plays(&row, &room, &call, Some(&url)).await;
    row.world_mut().controller.kill();
    // The music ends while no controller runs that could repeat it.
    until_plays(&row, &room, &call, None).await;
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    until_plays(&row, &room, &call, Some(&url)).await;
    assert_eq!(row.members(&room).await.body["members"][0]["held"], true);
    unhold(&row, &room, &call).await;
    until_hears(&row, &room, &call, true).await;
    row.check_webhooks();
}
