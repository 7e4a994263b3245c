//! `/v1.0/conferencecalls`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::NEVER;
use crate::row::{Row, rows};
use crate::shape::{self, UUID, VOIPBIN_TIME};

rows! {
    Plain: [
        post_answers_200_with_all_nine_fields_and_status_joining,
        joined_when_freeswitch_says_so_and_named_by_the_conference,
        joined_unmuted,
        post_again_answers_the_same_stay,
        post_what_cannot_be_read_400_names_the_field,
        post_conference_404_there_is_none,
        post_conference_403_it_belongs_to_another_app,
        post_call_404_there_is_none,
        post_409_it_is_in_another_conference,
        leaving_until_freeswitch_has_let_it_go_and_named_until_then,
        delete_takes_it_out_and_it_is_parked,
        delete_of_one_that_has_left_answers_it_unchanged,
        leaved_when_it_hangs_up,
        leaved_when_the_join_is_refused,
        get_404_there_is_none,
        get_400_no_uuid,
        get_403_it_belongs_to_another_app,
        list_of_a_conference_by_pages,
        list_of_an_unknown_conference_is_empty,
        every_stay_is_a_conferencecall_of_its_own,
    ]
}

fn stay(conference: &str, channel: &str, status: &str) -> Value {
    json!({
        "id": UUID,
        "customer_id": UUID,
        "conference_id": conference,
        "reference_type": "call",
        "reference_id": channel,
        "status": status,
        "tm_create": VOIPBIN_TIME,
        "tm_update": VOIPBIN_TIME,
        "tm_delete": NEVER,
    })
}

async fn post_answers_200_with_all_nine_fields_and_status_joining(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let call = row.call().await;
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &call);
    let answer = row.enters(&id, &call).await;
    let mut expected = stay(&id, &call.channel, "joining");
    expected["tm_update"] = json!(NEVER);
    answer.is(200, expected);
    assert_eq!(answer.body.as_object().unwrap().len(), 9);
    let read = row.call_is(&answer.text("id")).await;
    assert_eq!(read, answer.body);
    // "conferencecall_ids: List of participant IDs currently in the conference."
    let conference = row.conference_is(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([]));
    assert_eq!(conference["customer_id"], read["customer_id"]);
    hold.release();
    row.until_call(&answer.text("id"), "joined").await;
}

async fn joined_when_freeswitch_says_so_and_named_by_the_conference(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay_id) = row.inside(&id).await;
    let conference = row.conference_is(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([stay_id]));
    let room = row.room_of_conference(&id);
    row.until_speaks(&room, &call, Some(true)).await;
    let told = row.told(&room, "conference.member.joined").await;
    assert_eq!(told.body["data"]["conferencecall_id"], json!(stay_id));
    let read = row.call_is(&stay_id).await;
    shape::check(&read, &stay(&id, &call.channel, "joined"));
}

async fn joined_unmuted(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, _) = row.inside(&id).await;
    let room = row.room_of_conference(&id);
    row.until_speaks(&room, &call, Some(true)).await;
    let members = row.members(&room).await;
    assert_eq!(members.body["members"][0]["muted"], false);
}

async fn post_again_answers_the_same_stay(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay_id) = row.inside(&id).await;
    let answer = row.enters(&id, &call).await;
    answer.is(200, stay(&id, &call.channel, "joined"));
    assert_eq!(answer.text("id"), stay_id);
}

async fn post_what_cannot_be_read_400_names_the_field(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let call = row.call().await;
    let good = json!({
        "conference_id": id,
        "reference_type": "call",
        "reference_id": call.channel,
    });
    for (field, bad) in [
        ("conference_id", json!(null)),
        ("conference_id", json!("test")),
        ("reference_type", json!(null)),
        ("reference_type", json!("line")),
        ("reference_id", json!(null)),
        ("reference_id", json!(call.id)),
        ("command_uid", json!("with a space")),
    ] {
        let mut body = good.clone();
        body[field] = bad;
        row.v("POST", "/conferencecalls", body).await.blames(field);
    }
}

async fn post_conference_404_there_is_none(row: &Row<'_>) {
    let call = row.call().await;
    let unknown = uuid::Uuid::new_v4().to_string();
    row.enters(&unknown, &call).await.fails(404);
}

async fn post_conference_403_it_belongs_to_another_app(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let call = row.call_of(row.other()).await;
    let body = json!({
        "conference_id": id,
        "reference_type": "call",
        "reference_id": call.channel,
    });
    let answer = row
        .v_as(row.other(), "POST", "/conferencecalls", body)
        .await;
    answer.fails(403);
}

async fn post_call_404_there_is_none(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let mut call = row.call().await;
    call.channel = uuid::Uuid::new_v4().to_string();
    row.enters(&id, &call).await.fails(404);
}

async fn post_409_it_is_in_another_conference(row: &Row<'_>) {
    let (one, two) = (
        row.conference(json!({})).await,
        row.conference(json!({})).await,
    );
    let (call, _) = row.inside(&one).await;
    row.enters(&two, &call).await.fails(409);
}

async fn leaving_until_freeswitch_has_let_it_go_and_named_until_then(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay_id) = row.inside(&id).await;
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &call);
    let path = format!("/conferencecalls/{stay_id}");
    let answer = row.v("DELETE", &path, Value::Null).await;
    answer.is(200, stay(&id, &call.channel, "leaving"));
    // Again: unchanged.
    let again = row.v("DELETE", &path, Value::Null).await;
    assert_eq!(again.body, answer.body);
    let conference = row.conference_is(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([stay_id]));
    hold.release();
    row.until_call(&stay_id, "leaved").await;
    let conference = row.conference_is(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([]));
}

async fn delete_takes_it_out_and_it_is_parked(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay_id) = row.inside(&id).await;
    row.good(
        "DELETE",
        &format!("/conferencecalls/{stay_id}"),
        Value::Null,
    )
    .await;
    row.until_call(&stay_id, "leaved").await;
    let told = row
        .told(&row.room_of_conference(&id), "conference.member.left")
        .await;
    assert_eq!(told.body["data"]["reason"], "removed");
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn delete_of_one_that_has_left_answers_it_unchanged(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay_id) = row.inside(&id).await;
    row.command(&call, "leave", Value::Null).await;
    row.until_call(&stay_id, "leaved").await;
    let before = row.call_is(&stay_id).await;
    let path = format!("/conferencecalls/{stay_id}");
    assert_eq!(row.good("DELETE", &path, Value::Null).await, before);
    shape::check(&before, &stay(&id, &call.channel, "leaved"));
}

async fn leaved_when_it_hangs_up(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay_id) = row.inside(&id).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    row.until_call(&stay_id, "leaved").await;
}

async fn leaved_when_the_join_is_refused(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let room = row.room_of_conference(&id);
    row.inside(&id).await;
    // Not by us: somebody has locked the conference.
    row.fs(&format!("conference {room} set max_members 1"))
        .await;
    let call = row.call().await;
    let stay_id = row.sent(&id, &call).await;
    row.until_call(&stay_id, "leaved").await;
    let told = row.told(&room, "conference.member.join_failed").await;
    assert_eq!(told.body["data"]["reason"], "refused");
    row.until_parked(&call).await;
}

async fn get_404_there_is_none(row: &Row<'_>) {
    let path = format!("/conferencecalls/{}", uuid::Uuid::new_v4());
    for method in ["GET", "DELETE"] {
        row.v(method, &path, Value::Null).await.fails(404);
    }
}

async fn get_400_no_uuid(row: &Row<'_>) {
    let answer = row.v("GET", "/conferencecalls/b8aa51f6", Value::Null).await;
    answer.blames("conferencecall_id");
}

async fn get_403_it_belongs_to_another_app(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (_, stay_id) = row.inside(&id).await;
    let path = format!("/conferencecalls/{stay_id}");
    for method in ["GET", "DELETE"] {
        let answer = row.v_as(row.other(), method, &path, Value::Null).await;
        answer.fails(403);
    }
    assert_eq!(row.call_is(&stay_id).await["status"], "joined");
}

async fn list_of_a_conference_by_pages(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let mut stays = BTreeSet::new();
    for _ in 0..3 {
        stays.insert(row.inside(&id).await.1);
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/conferencecalls?conference_id={id}&page_size=1{token}");
        let page = row.good("GET", &path, Value::Null).await;
        for stay in page["result"].as_array().unwrap() {
            assert_eq!(stay["conference_id"], json!(id));
            listed.push(stay["id"].as_str().unwrap().to_owned());
        }
        match page["next_page_token"].as_str().unwrap() {
            "" => break,
            next => token = format!("&page_token={next}"),
        }
    }
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), stays);
}

async fn list_of_an_unknown_conference_is_empty(row: &Row<'_>) {
    let path = format!("/conferencecalls?conference_id={}", uuid::Uuid::new_v4());
    let answer = row.v("GET", &path, Value::Null).await;
    answer.is(200, json!({ "result": [], "next_page_token": "" }));
}

async fn every_stay_is_a_conferencecall_of_its_own(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, first) = row.inside(&id).await;
    row.command(&call, "leave", Value::Null).await;
    row.until_call(&first, "leaved").await;
    row.until_parked(&call).await;
    let second = row.sent(&id, &call).await;
    assert_ne!(first, second);
    row.until_call(&second, "joined").await;
    assert_eq!(row.call_is(&first).await["status"], "leaved");
}
