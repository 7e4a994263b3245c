//! `/v1.0/conferences`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NEVER, new_conference};
use crate::row::{Row, rows};
use crate::shape::{self, UUID, VOIPBIN_TIME};

rows! {
    Plain: [
        post_answers_200_with_all_sixteen_fields,
        post_stores_name_detail_data_timeout_and_actions_as_given,
        post_takes_post_action_as_the_older_documents_write_it,
        post_type_conference_or_connect_and_no_other,
        post_name_is_free_text_and_may_repeat,
        post_malformed_400_names_the_field,
        post_an_action_400_names_its_index,
        post_talk_400_unless_a_node_has_text_to_speech,
        webhook_created_includes_the_name,
        get_answers_the_created_conference,
        get_404_there_is_none,
        get_400_no_uuid,
        get_403_it_belongs_to_another_app,
        put_changes_only_the_given_fields,
        put_type_400,
        put_409_it_is_over,
        webhook_updated_includes_the_changes,
        delete_of_an_empty_one_terminates_it,
        delete_parks_its_members_and_then_it_is_terminated,
        delete_again_answers_it_as_it_is,
        status_only_moves_forward,
        list_pages_by_page_size_and_page_token,
        list_page_size_400_not_a_positive_number,
        list_page_token_400_not_one_of_this_list,
        both_apis_have_the_same_rooms,
        call_joins_by_one_api_and_leaves_by_the_other,
    ]
}

async fn post_answers_200_with_all_sixteen_fields(row: &Row<'_>) {
    let made = row.send_ok("POST", "/conferences", json!({})).await;
    shape::check(&made, &new_conference(&json!({})));
    assert_eq!(made.as_object().unwrap().len(), 16);
}

async fn post_stores_name_detail_data_timeout_and_actions_as_given(row: &Row<'_>) {
    let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let url = row.sound(100);
    let body = json!({
        "type": "conference",
        "name": "test conference",
        "detail": "test conference for example.",
        "data": { "crm": [1, { "deep": null }] },
        "timeout": 3_600,
        "pre_actions": [
            { "id": one, "next_id": two, "type": "play", "option": { "stream_urls": [url] } },
            { "id": two, "next_id": super::NIL, "type": "sleep", "option": { "duration": 10 } },
        ],
        "post_actions": [
            { "id": super::NIL, "next_id": super::NIL, "type": "beep", "option": { "why": "kept" } },
        ],
    });
    let made = row.send_ok("POST", "/conferences", body.clone()).await;
    shape::check(&made, &new_conference(&body));
    let read = row.read_conference(made["id"].as_str().unwrap()).await;
    assert_eq!(read, made);
}

async fn post_takes_post_action_as_the_older_documents_write_it(row: &Row<'_>) {
    let beep = json!([{ "id": super::NIL, "next_id": super::NIL, "type": "beep", "option": {} }]);
    let made = row
        .send_ok("POST", "/conferences", json!({ "post_action": beep }))
        .await;
    shape::check(&made, &new_conference(&json!({ "post_actions": beep })));
    let bad = json!({ "post_action": [{ "type": "dance" }] });
    let answer = row.v("POST", "/conferences", bad).await;
    answer.names_field("post_action[0]");
}

async fn post_type_conference_or_connect_and_no_other(row: &Row<'_>) {
    for kind in ["conference", "connect"] {
        let body = json!({ "type": kind });
        let made = row.send_ok("POST", "/conferences", body.clone()).await;
        shape::check(&made, &new_conference(&body));
    }
    for kind in [json!("webinar"), json!(""), json!(1)] {
        let body = json!({ "type": kind });
        row.v("POST", "/conferences", body)
            .await
            .names_field("type");
    }
}

async fn post_name_is_free_text_and_may_repeat(row: &Row<'_>) {
    for name in [
        "",
        "test conference",
        "test conference",
        "Größe 東京 \"'<>|${x}\n",
    ] {
        let body = json!({ "name": name });
        let made = row.send_ok("POST", "/conferences", body).await;
        assert_eq!(made["name"], name);
    }
}

async fn post_malformed_400_names_the_field(row: &Row<'_>) {
    for (field, value) in [
        ("name", json!(1)),
        ("name", json!("n".repeat(256))),
        ("detail", json!([])),
        ("data", json!("text")),
        ("timeout", json!(-1)),
        ("timeout", json!("60")),
        ("timeout", json!(1.5)),
        ("timeout", json!(31_536_001)),
        ("pre_actions", json!({})),
        ("post_actions", json!("hangup")),
    ] {
        let answer = row.v("POST", "/conferences", json!({ field: value })).await;
        answer.names_field(field);
    }
}

async fn post_an_action_400_names_its_index(row: &Row<'_>) {
    let beep = json!({ "type": "beep" });
    for bad in [
        json!({ "type": "dance" }),
        json!({ "type": "talk" }),
        json!({ "type": "talk", "option": { "text": "${system(reboot)}" } }),
        json!({ "type": "play", "option": { "stream_urls": [] } }),
        json!({ "type": "play", "option": { "stream_urls": ["file:///etc/passwd"] } }),
        json!({ "type": "sleep", "option": { "duration": -1 } }),
        json!({ "type": "beep", "next_id": uuid::Uuid::new_v4() }),
        json!("beep"),
    ] {
        for field in ["pre_actions", "post_actions"] {
            let answer = row
                .v("POST", "/conferences", json!({ field: [beep, bad] }))
                .await;
            answer.names_field(&format!("{field}[1]"));
        }
    }
}

async fn post_talk_400_unless_a_node_has_text_to_speech(row: &Row<'_>) {
    let talk = json!([{ "type": "talk", "option": { "text": "Hello.", "language": "en-US" } }]);
    let body = json!({ "pre_actions": talk });
    if row.fs("module_exists mod_flite").await != "true" {
        let answer = row.v("POST", "/conferences", body).await;
        return answer.names_field("pre_actions[0]");
    }
    let id = row.conference(body).await;
    let (call, _) = row.joined_call(&id).await;
    row.until_speaks(&row.room_of_conference(&id), &call, Some(true))
        .await;
}

async fn webhook_created_includes_the_name(row: &Row<'_>) {
    let id = row.conference(json!({ "name": "free text" })).await;
    let room = row.room_of_conference(&id);
    let data = json!({ "name": "free text" });
    row.check_first_webhook(&room, "conference.created", None, data)
        .await;
}

async fn get_answers_the_created_conference(row: &Row<'_>) {
    let made = row
        .send_ok(
            "POST",
            "/conferences",
            json!({ "name": "n", "timeout": 60 }),
        )
        .await;
    let read = row.read_conference(made["id"].as_str().unwrap()).await;
    assert_eq!(read, made);
}

async fn get_404_there_is_none(row: &Row<'_>) {
    let path = format!("/conferences/{}", uuid::Uuid::new_v4());
    for (method, body) in [
        ("GET", Value::Null),
        ("PUT", json!({ "name": "n" })),
        ("DELETE", Value::Null),
    ] {
        row.v(method, &path, body).await.fails(404);
    }
    for what in ["recording_start", "recording_stop"] {
        let path = format!("{path}/{what}");
        row.v("POST", &path, Value::Null).await.fails(404);
    }
}

async fn get_400_no_uuid(row: &Row<'_>) {
    let answer = row.v("GET", "/conferences/99accfb7", Value::Null).await;
    answer.names_field("conference_id");
}

async fn get_403_it_belongs_to_another_app(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PUT", path.clone(), json!({ "name": "mine" })),
        ("DELETE", path.clone(), Value::Null),
        ("POST", format!("{path}/recording_start"), Value::Null),
        ("POST", format!("{path}/recording_stop"), Value::Null),
    ] {
        let answer = row.v_as(row.other(), method, &path, body).await;
        answer.fails(403);
    }
    shape::check(&row.read_conference(&id).await, &new_conference(&json!({})));
}

async fn put_changes_only_the_given_fields(row: &Row<'_>) {
    let id = row
        .conference(json!({ "name": "one", "detail": "first", "data": { "a": 1 } }))
        .await;
    let before = row.read_conference(&id).await;
    let path = format!("/conferences/{id}");
    let changed = row.send_ok("PUT", &path, json!({ "name": "two" })).await;
    let mut expected = before.clone();
    expected["name"] = json!("two");
    expected["tm_update"] = json!(VOIPBIN_TIME);
    shape::check(&changed, &expected);
    assert!(changed["tm_update"].as_str() > before["tm_create"].as_str());
    let rest = json!({
        "detail": "second",
        "data": {},
        "timeout": 600,
        "pre_actions": [{ "id": super::NIL, "next_id": super::NIL, "type": "beep", "option": {} }],
        "post_actions": [{ "id": super::NIL, "next_id": super::NIL, "type": "hangup", "option": {} }],
    });
    let changed = row.send_ok("PUT", &path, rest.clone()).await;
    for (name, value) in rest.as_object().unwrap() {
        expected[name] = value.clone();
    }
    shape::check(&changed, &expected);
    assert_eq!(row.read_conference(&id).await, changed);
}

async fn put_type_400(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    let body = json!({ "type": "conference" });
    row.v("PUT", &path, body).await.names_field("type");
}

async fn put_409_it_is_over(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    row.send_ok("DELETE", &path, Value::Null).await;
    row.until_conference(&id, "terminated").await;
    let answer = row.v("PUT", &path, json!({ "name": "n" })).await;
    answer.fails(409);
}

async fn webhook_updated_includes_the_changes(row: &Row<'_>) {
    let id = row.conference(json!({ "name": "one" })).await;
    let body = json!({ "name": "two", "timeout": 60 });
    row.send_ok("PUT", &format!("/conferences/{id}"), body)
        .await;
    let room = row.room_of_conference(&id);
    // The gateway API has another name for the time limit.
    let changes = json!({ "name": "two", "timeout": 60, "max_duration": 60 });
    row.check_first_webhook(&room, "conference.updated", None, changes)
        .await;
}

async fn delete_of_an_empty_one_terminates_it(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.send_ok("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    let over = row.until_conference(&id, "terminated").await;
    assert_ne!(over["tm_delete"], NEVER);
    shape::check(
        &over,
        &new_conference(&json!({
            "status": "terminated",
            "tm_update": VOIPBIN_TIME,
            "tm_delete": VOIPBIN_TIME,
        })),
    );
    let room = row.room_of_conference(&id);
    row.webhook(&room, "conference.destroyed").await;
    let answer = row.get(&format!("/conferences/{room}")).await;
    answer.fails(404);
}

async fn delete_parks_its_members_and_then_it_is_terminated(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, membership) = row.joined_call(&id).await;
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &call);
    let answer = row
        .send_ok("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    assert_eq!(answer["status"], "terminating");
    // "No new participants can join."
    let late = row.call().await;
    row.request_entry(&id, &late).await.fails(409);
    hold.release();
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["conferencecall_ids"], json!([]));
    assert_eq!(
        row.read_conferencecall(&membership).await["status"],
        "leaved"
    );
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn delete_again_answers_it_as_it_is(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    row.send_ok("DELETE", &path, Value::Null).await;
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(row.send_ok("DELETE", &path, Value::Null).await, over);
}

async fn status_only_moves_forward(row: &Row<'_>) {
    const STATES: [&str; 4] = ["starting", "progressing", "terminating", "terminated"];
    let id = row.conference(json!({})).await;
    let (call, _) = row.joined_call(&id).await;
    let room = row.room_of_conference(&id);
    let hold = row.hold_room_and_call(&room, &call);
    let mut seen = vec![row.read_conference(&id).await];
    seen.push(
        row.send_ok("DELETE", &format!("/conferences/{id}"), Value::Null)
            .await,
    );
    seen.push(row.read_conference(&id).await);
    hold.release();
    seen.push(row.until_conference(&id, "terminated").await);
    // A call that the dialplan brings in does not revive it.
    let plan = format!("{room}@roomkeeper");
    row.place_call(&row.app, ("conference", &plan)).await;
    seen.push(row.read_conference(&id).await);
    let place = |conference: &Value| {
        let status = conference["status"].as_str().unwrap().to_owned();
        STATES.iter().position(|state| *state == status).unwrap()
    };
    let places: Vec<usize> = seen.iter().map(place).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(places, [1, 2, 2, 3, 3]);
}

async fn pages(row: &Row<'_>, path: &str, size: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let query = format!("{path}page_size={size}{token}");
        let page = row.send_ok("GET", &query, Value::Null).await;
        let rows = page["result"].as_array().unwrap();
        assert!(rows.len() <= size);
        all.extend(rows.iter().cloned());
        match page["next_page_token"].as_str().unwrap() {
            "" => return all,
            next => token = format!("&page_token={next}"),
        }
    }
}

async fn list_pages_by_page_size_and_page_token(row: &Row<'_>) {
    // The app also has the other rows' conferences.
    let mut made = BTreeSet::new();
    for n in 0..5 {
        made.insert(row.conference(json!({ "name": format!("p{n}") })).await);
    }
    let all = pages(row, "/conferences?", 3).await;
    let ids: Vec<&str> = all.iter().map(|c| c["id"].as_str().unwrap()).collect();
    let different: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(different.len(), ids.len(), "no conference is listed twice");
    assert!(made.iter().all(|id| different.contains(id.as_str())));
    let one = all.iter().find(|c| c["name"] == "p0").unwrap();
    assert_eq!(one.as_object().unwrap().len(), 16);
}

async fn list_page_size_400_not_a_positive_number(row: &Row<'_>) {
    for bad in ["0", "-1", "many", "1.5", ""] {
        for list in ["conferences", "conferencecalls", "recordings"] {
            let path = format!("/{list}?page_size={bad}");
            row.v("GET", &path, Value::Null)
                .await
                .names_field("page_size");
        }
    }
}

async fn list_page_token_400_not_one_of_this_list(row: &Row<'_>) {
    for list in ["conferences", "conferencecalls", "recordings"] {
        let path = format!("/{list}?page_token=2022-02-03");
        row.v("GET", &path, Value::Null)
            .await
            .names_field("page_token");
    }
}

async fn both_apis_have_the_same_rooms(row: &Row<'_>) {
    // Created there, read and ended here.
    let name = row.fresh_name();
    let body = json!({ "name": name, "node": row.node() });
    let room = row.post("/conferences", body).await.text("room_id");
    row.note(&room);
    let id = room.rsplit_once("-room-").unwrap().1.to_owned();
    let seen = row.read_conference(&id).await;
    shape::check(&seen, &new_conference(&json!({ "name": name })));
    assert_eq!(seen["id"], id);
    row.send_ok("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    row.webhook(&room, "conference.destroyed").await;
    row.get(&format!("/conferences/{room}")).await.fails(404);
    // Its name is free again.
    let body = json!({ "name": name, "node": row.node() });
    let answer = row.post("/conferences", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    row.note(&answer.text("room_id"));

    // Created here, read and ended there.
    let id = row.conference(json!({ "name": "as it is: Ü" })).await;
    let room = row.room_of_conference(&id);
    assert_eq!(row.status(&room).await.body["name"], "as it is: Ü");
    assert_eq!(row.delete(&room).await.status, 200);
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["id"], json!(id));
}

async fn call_joins_by_one_api_and_leaves_by_the_other(row: &Row<'_>) {
    // Created in the gateway API: members join muted, by either API.
    let room = row.room().await;
    let id = room.rsplit_once("-room-").unwrap().1.to_owned();
    let (call, membership) = row.joined_call(&id).await;
    row.until_speaks(&room, &call, Some(false)).await;
    assert_eq!(row.status(&room).await.body["members"], 1);
    let answer = row.command(&call, "leave", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.until_conferencecall(&membership, "leaved").await;

    // Created here: members join unmuted, by either API.
    let id = row.conference(json!({})).await;
    let room = row.room_of_conference(&id);
    let call = row.call().await;
    let answer = row.request_join(&call, &room).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let joined = row.webhook(&room, "conference.member.joined").await;
    let membership = joined.body["data"]["conferencecall_id"].as_str().unwrap();
    row.until_speaks(&room, &call, Some(true)).await;
    assert_eq!(
        row.read_conferencecall(membership).await["status"],
        "joined"
    );
    let left = row
        .send_ok(
            "DELETE",
            &format!("/conferencecalls/{membership}"),
            Value::Null,
        )
        .await;
    shape::check(&left["id"], &json!(UUID));
    row.until_conferencecall(membership, "leaved").await;
    row.until_parked(&call).await;
}
