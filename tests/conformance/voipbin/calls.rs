//! `/v1.0/conferencecalls`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::NEVER;
use crate::row::{Row, rows};
use crate::shape::{self, UUID, VOIPBIN_TIME};

rows! {
    Plain: [
        post_answers_200_with_all_nine_fields_and_status_joining,
        joined_when_freeswitch_confirms_and_listed_by_the_conference,
        joined_unmuted,
        post_again_answers_the_same_conferencecall,
        post_malformed_400_names_the_field,
        post_conference_404_there_is_none,
        post_conference_403_it_belongs_to_another_app,
        post_call_404_there_is_none,
        post_409_it_is_in_another_conference,
        leaving_and_listed_until_freeswitch_confirms,
        delete_removes_the_call_and_parks_it,
        delete_after_leaving_answers_it_unchanged,
        leaved_when_it_hangs_up,
        leaved_when_the_join_is_refused,
        get_404_there_is_none,
        get_400_no_uuid,
        get_403_it_belongs_to_another_app,
        list_of_a_conference_by_pages,
        list_of_an_unknown_conference_is_empty,
        every_membership_is_a_conferencecall_of_its_own,
    ]
}

fn conferencecall_body(conference: &str, channel: &str, status: &str) -> Value {
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
    let answer = row.request_entry(&id, &call).await;
    let mut expected = conferencecall_body(&id, &call.channel, "joining");
    expected["tm_update"] = json!(NEVER);
    answer.is(200, expected);
    assert_eq!(answer.body.as_object().unwrap().len(), 9);
    let read = row.read_conferencecall(&answer.text("id")).await;
    assert_eq!(read, answer.body);
    // "conferencecall_ids: List of participant IDs currently in the conference."
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([]));
    assert_eq!(conference["customer_id"], read["customer_id"]);
    hold.release();
    row.until_conferencecall(&answer.text("id"), "joined").await;
}

async fn joined_when_freeswitch_confirms_and_listed_by_the_conference(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership_id) = row.joined_call(&id).await;
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([membership_id]));
    let room = row.room_of_conference(&id);
    row.until_speaks(&room, &call, Some(true)).await;
    let webhook = row.webhook(&room, "conference.member.joined").await;
    assert_eq!(
        webhook.body["data"]["conferencecall_id"],
        json!(membership_id)
    );
    let read = row.read_conferencecall(&membership_id).await;
    shape::check(&read, &conferencecall_body(&id, &call.channel, "joined"));
}

async fn joined_unmuted(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, _) = row.joined_call(&id).await;
    let room = row.room_of_conference(&id);
    row.until_speaks(&room, &call, Some(true)).await;
    let members = row.members(&room).await;
    assert_eq!(members.body["members"][0]["muted"], false);
}

async fn post_again_answers_the_same_conferencecall(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership_id) = row.joined_call(&id).await;
    let answer = row.request_entry(&id, &call).await;
    answer.is(200, conferencecall_body(&id, &call.channel, "joined"));
    assert_eq!(answer.text("id"), membership_id);
}

async fn post_malformed_400_names_the_field(row: &Row<'_>) {
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
        row.v("POST", "/conferencecalls", body)
            .await
            .names_field(field);
    }
}

async fn post_conference_404_there_is_none(row: &Row<'_>) {
    let call = row.call().await;
    let unknown = uuid::Uuid::new_v4().to_string();
    row.request_entry(&unknown, &call).await.fails(404);
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
    row.request_entry(&id, &call).await.fails(404);
}

async fn post_409_it_is_in_another_conference(row: &Row<'_>) {
    let (one, two) = (
        row.conference(json!({})).await,
        row.conference(json!({})).await,
    );
    let (call, _) = row.joined_call(&one).await;
    row.request_entry(&two, &call).await.fails(409);
}

async fn leaving_and_listed_until_freeswitch_confirms(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership_id) = row.joined_call(&id).await;
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &call);
    let path = format!("/conferencecalls/{membership_id}");
    let answer = row.v("DELETE", &path, Value::Null).await;
    answer.is(200, conferencecall_body(&id, &call.channel, "leaving"));
    // A repeated delete answers it unchanged.
    let again = row.v("DELETE", &path, Value::Null).await;
    assert_eq!(again.body, answer.body);
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([membership_id]));
    hold.release();
    row.until_conferencecall(&membership_id, "leaved").await;
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["conferencecall_ids"], json!([]));
}

async fn delete_removes_the_call_and_parks_it(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership_id) = row.joined_call(&id).await;
    row.send_ok(
        "DELETE",
        &format!("/conferencecalls/{membership_id}"),
        Value::Null,
    )
    .await;
    row.until_conferencecall(&membership_id, "leaved").await;
    let webhook = row
        .webhook(&row.room_of_conference(&id), "conference.member.left")
        .await;
    assert_eq!(webhook.body["data"]["reason"], "removed");
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn delete_after_leaving_answers_it_unchanged(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership_id) = row.joined_call(&id).await;
    row.command(&call, "leave", Value::Null).await;
    row.until_conferencecall(&membership_id, "leaved").await;
    let before = row.read_conferencecall(&membership_id).await;
    let path = format!("/conferencecalls/{membership_id}");
    assert_eq!(row.send_ok("DELETE", &path, Value::Null).await, before);
    shape::check(&before, &conferencecall_body(&id, &call.channel, "leaved"));
}

async fn leaved_when_it_hangs_up(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership_id) = row.joined_call(&id).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    row.until_conferencecall(&membership_id, "leaved").await;
}

async fn leaved_when_the_join_is_refused(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let room = row.room_of_conference(&id);
    row.joined_call(&id).await;
    // Not by the controller: another client has locked the conference.
    row.fs(&format!("conference {room} set max_members 1"))
        .await;
    let call = row.call().await;
    let membership_id = row.send_in(&id, &call).await;
    row.until_conferencecall(&membership_id, "leaved").await;
    let webhook = row.webhook(&room, "conference.member.join_failed").await;
    assert_eq!(webhook.body["data"]["reason"], "refused");
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
    answer.names_field("conferencecall_id");
}

async fn get_403_it_belongs_to_another_app(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (_, membership_id) = row.joined_call(&id).await;
    let path = format!("/conferencecalls/{membership_id}");
    for method in ["GET", "DELETE"] {
        let answer = row.v_as(row.other(), method, &path, Value::Null).await;
        answer.fails(403);
    }
    assert_eq!(
        row.read_conferencecall(&membership_id).await["status"],
        "joined"
    );
}

async fn list_of_a_conference_by_pages(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let mut memberships = BTreeSet::new();
    for _ in 0..3 {
        memberships.insert(row.joined_call(&id).await.1);
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/conferencecalls?conference_id={id}&page_size=1{token}");
        let page = row.send_ok("GET", &path, Value::Null).await;
        for membership in page["result"].as_array().unwrap() {
            assert_eq!(membership["conference_id"], json!(id));
            listed.push(membership["id"].as_str().unwrap().to_owned());
        }
        match page["next_page_token"].as_str().unwrap() {
            "" => break,
            next => token = format!("&page_token={next}"),
        }
    }
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), memberships);
}

async fn list_of_an_unknown_conference_is_empty(row: &Row<'_>) {
    let path = format!("/conferencecalls?conference_id={}", uuid::Uuid::new_v4());
    let answer = row.v("GET", &path, Value::Null).await;
    answer.is(200, json!({ "result": [], "next_page_token": "" }));
}

async fn every_membership_is_a_conferencecall_of_its_own(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, first) = row.joined_call(&id).await;
    row.command(&call, "leave", Value::Null).await;
    row.until_conferencecall(&first, "leaved").await;
    row.until_parked(&call).await;
    let second = row.send_in(&id, &call).await;
    assert_ne!(first, second);
    row.until_conferencecall(&second, "joined").await;
    assert_eq!(row.read_conferencecall(&first).await["status"], "leaved");
}
