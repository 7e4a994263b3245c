//! Settings: `PATCH /api/v1/conferences/{room_id}` and `/members/{session}`, and those of a join and a creation.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        labels_of_a_new_conference_are_in_its_rows,
        labels_of_a_join_are_in_joined_and_in_the_members,
        update_of_a_member_answers_202_and_its_webhook_has_the_labels,
        update_of_a_member_without_a_change_answers_unchanged_without_a_webhook,
        update_of_a_conference_answers_202_and_its_webhook_has_the_labels,
        update_403_404_409_and_repeated_with_the_same_command_uid,
        max_members_is_in_freeswitch_also_in_a_new_instance,
        join_409_the_conference_is_full,
        tones_are_in_freeswitch_also_in_a_new_instance,
        alone_url_plays_to_a_lone_member,
        announce_count_is_spoken_to_each_later_member_once,
        end_when_silent_for_ends_the_conference,
        max_duration_ends_the_conference,
    ]
}

async fn patch_room(row: &Row<'_>, room: &str, body: Value) -> Answer {
    let path = format!("/conferences/{room}");
    row.ask(&row.app, "PATCH", &path, Some(&body)).await
}

async fn patch_member(row: &Row<'_>, room: &str, call: &Call, body: Value) -> Answer {
    let path = format!("/conferences/{room}/members/{}", call.id);
    row.ask(&row.app, "PATCH", &path, Some(&body)).await
}

fn updated() -> Value {
    json!({ "status": "updated" })
}

async fn labels_of_a_new_conference_are_in_its_rows(row: &Row<'_>) {
    let name = row.fresh_name();
    let body = json!({ "name": name, "node": row.node(), "labels": { "team": "sales" } });
    let answer = row.post("/conferences", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let room = answer.text("room_id");
    row.note(&room);
    let detail = row.status(&room).await;
    assert_eq!(detail.body["labels"], json!({ "team": "sales" }));
}

async fn labels_of_a_join_are_in_joined_and_in_the_members(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "labels": { "seat": "12" }, "command_uid": "j" });
    let answer = row.command(&call, "join", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let data = json!({
        "caller_id": call.caller, "did": call.did, "muted": true, "conferencecall_id": UUID,
        "labels": { "seat": "12" }, "command_uid": "j",
    });
    row.check_first_webhook(&room, "conference.member.joined", Some(&call), data)
        .await;
    let members = row.members(&room).await.body["members"].clone();
    assert_eq!(members[0]["labels"], json!({ "seat": "12" }));
}

async fn update_of_a_member_answers_202_and_its_webhook_has_the_labels(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let text = "\"${x}\"\r\n, 한국 |\\";
    let body = json!({ "labels": { "seat": text, "x": "1" }, "command_uid": "u-1" });
    patch_member(row, &room, &call, body)
        .await
        .is(202, updated());
    let data = json!({ "labels": { "seat": text, "x": "1" }, "command_uid": "u-1" });
    row.check_first_webhook(&room, "conference.member.updated", Some(&call), data)
        .await;
    let body = json!({ "labels": { "x": null, "absent": null } });
    patch_member(row, &room, &call, body)
        .await
        .is(202, updated());
    let second = row.nth_webhook(&room, "conference.member.updated", 2).await;
    assert_eq!(second.body["data"]["labels"], json!({ "seat": text }));
    let members = row.members(&room).await.body["members"].clone();
    assert_eq!(members[0]["labels"], json!({ "seat": text }));
}

async fn update_of_a_member_without_a_change_answers_unchanged_without_a_webhook(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "labels": { "seat": "12" } });
    patch_member(row, &room, &call, body.clone())
        .await
        .is(202, updated());
    for body in [body, json!({}), json!({ "labels": { "absent": null } })] {
        let answer = patch_member(row, &room, &call, body).await;
        answer.is(202, json!({ "status": "unchanged" }));
    }
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.updated",
            "conference.member.left",
        ],
    )
    .await;
}

async fn update_of_a_conference_answers_202_and_its_webhook_has_the_labels(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let body = json!({ "labels": { "team": "sales" }, "command_uid": "u-1" });
    patch_room(row, &room, body).await.is(202, updated());
    let data = json!({ "labels": { "team": "sales" }, "command_uid": "u-1" });
    row.check_first_webhook(&room, "conference.updated", None, data)
        .await;
    let detail = row.status(&room).await;
    assert_eq!(detail.body["labels"], json!({ "team": "sales" }));
    let unchanged = patch_room(row, &room, json!({ "labels": { "team": "sales" } })).await;
    unchanged.is(202, json!({ "status": "unchanged" }));
}

async fn update_403_404_409_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let theirs = row.room_of(row.other()).await;
    let empty = row.room().await;
    let body = json!({ "labels": { "a": "b" }, "command_uid": "u" });
    patch_room(row, &theirs, body.clone()).await.fails(403);
    patch_member(row, &theirs, &call, body.clone())
        .await
        .fails(403);
    patch_member(row, &empty, &call, body.clone())
        .await
        .fails(404);
    for _ in 0..2 {
        patch_room(row, &room, body.clone())
            .await
            .is(202, updated());
        patch_member(row, &room, &call, body.clone())
            .await
            .is(202, updated());
    }
    let other = json!({ "labels": { "a": "c" }, "command_uid": "u" });
    patch_room(row, &room, other.clone()).await.fails(409);
    patch_member(row, &room, &call, other).await.fails(409);
    let many: serde_json::Map<_, _> = (0..16).map(|n| (n.to_string(), json!("v"))).collect();
    let many = json!({ "labels": many });
    patch_room(row, &room, many.clone()).await.fails(409);
    patch_member(row, &room, &call, many).await.fails(409);
    assert_eq!(row.count(&room, "conference.updated"), 1);
    assert_eq!(row.count(&room, "conference.member.updated"), 1);
}

/// Returns this field of FreeSWITCH's conference; `None` if it has none.
async fn listed(row: &Row<'_>, room: &str, field: &str) -> Option<Value> {
    let text = row.fs("conference json_list compact").await;
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut conferences = list.as_array()?.iter();
    let conference = conferences.find(|c| c["conference_name"] == room)?;
    conference.get(field).cloned()
}

async fn until_listed(row: &Row<'_>, room: &str, field: &str, value: Value) {
    let what = format!("FreeSWITCH lists {field} of {room} as {value}");
    poll::until(&what, poll::TIMEOUT, async || {
        let found = listed(row, room, field).await.unwrap_or_default();
        (found == value).then_some(())
    })
    .await;
}

async fn new_room(row: &Row<'_>, mut settings: Value) -> String {
    settings["name"] = json!(row.fresh_name());
    settings["node"] = json!(row.node());
    let answer = row.post("/conferences", settings).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let room = answer.text("room_id");
    row.note(&room);
    room
}

async fn max_members_is_in_freeswitch_also_in_a_new_instance(row: &Row<'_>) {
    let room = new_room(row, json!({ "max_members": 3 })).await;
    let call = row.member(&room).await;
    until_listed(row, &room, "max_members", json!(3)).await;
    let body = json!({ "max_members": 4, "command_uid": "m" });
    patch_room(row, &room, body).await.is(202, updated());
    until_listed(row, &room, "max_members", json!(4)).await;
    let data = json!({ "max_members": 4, "command_uid": "m" });
    row.check_first_webhook(&room, "conference.updated", None, data)
        .await;
    assert_eq!(row.command(&call, "leave", Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    row.member(&room).await;
    until_listed(row, &room, "max_members", json!(4)).await;
    patch_room(row, &room, json!({ "max_members": 0 }))
        .await
        .is(202, updated());
    until_listed(row, &room, "max_members", Value::Null).await;
    let detail = row.status(&room).await;
    assert_eq!(detail.body.get("max_members"), None);
}

async fn join_409_the_conference_is_full(row: &Row<'_>) {
    let room = new_room(row, json!({ "max_members": 2 })).await;
    row.member(&room).await;
    row.member(&room).await;
    let third = row.call().await;
    row.request_join(&third, &room).await.fails(409);
    until_listed(row, &room, "max_members", json!(2)).await;
    // FreeSWITCH refuses a call that the dialplan brings.
    let plan = format!("{room}@roomkeeper");
    let fourth = row.place_call(&row.app, ("conference", &plan)).await;
    poll::until("the call is over or refused", poll::TIMEOUT, async || {
        (row.speaks(&room, &fourth).await.is_none()).then_some(())
    })
    .await;
    patch_room(row, &room, json!({ "max_members": 3 }))
        .await
        .is(202, updated());
    row.join(&third, &room).await;
    patch_room(row, &room, json!({ "max_members": 2 }))
        .await
        .is(202, updated());
    until_listed(row, &room, "max_members", json!(2)).await;
    let members = row.members(&room).await;
    assert_eq!(members.body["members"].as_array().unwrap().len(), 3);
}

async fn tones_are_in_freeswitch_also_in_a_new_instance(row: &Row<'_>) {
    let (enter, exit) = (row.sound(300), row.sound(300));
    let tones = json!({ "enter": enter, "exit": exit });
    let room = new_room(row, json!({ "tones": tones })).await;
    assert_eq!(row.status(&room).await.body["tones"], tones);
    let has = async |kind: &str, url: &str| {
        let file = url.rsplit('/').next().unwrap();
        let what = format!("FreeSWITCH has the sound {kind} {file}");
        poll::until(&what, poll::TIMEOUT, async || {
            let answer = row.fs(&format!("conference {room} {kind}_sound on")).await;
            answer.contains(file).then_some(())
        })
        .await;
    };
    for _ in 0..2 {
        let call = row.member(&room).await;
        has("enter", &enter).await;
        has("exit", &exit).await;
        row.command(&call, "leave", Value::Null).await;
        row.until_parked(&call).await;
    }
    row.member(&room).await;
    until_listed(row, &room, "enter_sound", json!(true)).await;
    patch_room(row, &room, json!({ "tones": false }))
        .await
        .is(202, updated());
    until_listed(row, &room, "enter_sound", json!(false)).await;
    until_listed(row, &room, "exit_sound", json!(false)).await;
    let other = row.sound(300);
    let body = json!({ "tones": { "enter": other } });
    patch_room(row, &room, body).await.is(202, updated());
    until_listed(row, &room, "enter_sound", json!(true)).await;
    has("enter", &other).await;
}

async fn alone_url_plays_to_a_lone_member(row: &Row<'_>) {
    let music = row.sound(60_000);
    let room = new_room(row, json!({ "alone_url": music })).await;
    row.member(&room).await;
    assert_eq!(row.status(&room).await.body["alone_url"], music);
    patch_room(row, &room, json!({ "alone_url": false }))
        .await
        .is(202, updated());
    assert_eq!(row.status(&room).await.body.get("alone_url"), None);
    // Music is no playback.
    assert_eq!(row.status(&room).await.body["playback_status"], "stopped");
}

async fn announce_count_is_spoken_to_each_later_member_once(row: &Row<'_>) {
    let announcement = json!({ "text": "{count} people", "voice": "slt" });
    let setting = json!({ "announce_count": announcement });
    if row.fs("module_exists mod_flite").await != "true" {
        let (room, _) = row.room_with_member().await;
        let refused = patch_room(row, &room, setting).await;
        return refused.names_field("announce_count.text");
    }
    let room = new_room(row, setting).await;
    assert_eq!(row.status(&room).await.body["announce_count"], announcement);
    let (started, finished) = (
        "conference.member.play.started",
        "conference.member.play.finished",
    );
    let _first = row.member(&room).await;
    for n in 2..=3 {
        let call = row.member(&room).await;
        let webhook = row.nth_webhook(&room, started, n - 1).await;
        let operation = webhook.body["data"]["operation_id"].clone();
        let text = format!("{n} people");
        let data = json!({ "urls": [], "text": text, "voice": "slt", "operation_id": operation });
        row.check_webhook(&webhook, &room, Some(&call), data);
        let webhook = row.nth_webhook(&room, finished, n - 1).await;
        let data = json!({ "errors": [], "operation_id": operation });
        row.check_webhook(&webhook, &room, Some(&call), data);
    }
    patch_room(row, &room, json!({ "announce_count": false }))
        .await
        .is(202, updated());
    let last = row.member(&room).await;
    row.command(&last, "leave", Value::Null).await;
    row.nth_webhook(&room, "conference.member.left", 1).await;
    assert_eq!(row.count(&room, started), 2);
}

async fn end_when_silent_for_ends_the_conference(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "end_when_silent_for": 5 });
    patch_room(row, &room, body).await.is(202, updated());
    let left = row.webhook(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "silence", "{}", left.body);
    row.webhook(&room, "conference.destroyed").await;
    row.until_parked(&call).await;
}

async fn max_duration_ends_the_conference(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let body = json!({ "max_duration": 3_600 });
    patch_room(row, &room, body).await.is(202, updated());
    assert_eq!(row.status(&room).await.body["max_duration"], 3_600);
    patch_room(row, &room, json!({ "max_duration": 1 }))
        .await
        .is(202, updated());
    let left = row.webhook(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "timeout", "{}", left.body);
    row.webhook(&room, "conference.destroyed").await;
}
