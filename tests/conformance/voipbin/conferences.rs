//! `/v1.0/conferences`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NEVER, new_conference};
use crate::row::{Row, rows};
use crate::shape::{self, UUID, VOIPBIN_TIME};

rows! {
    Plain: [
        post_answers_200_with_all_sixteen_fields,
        post_keeps_name_detail_data_timeout_and_actions_as_they_were_given,
        post_takes_post_action_as_the_older_documents_write_it,
        post_type_conference_or_connect_and_no_other,
        post_name_is_free_text_and_may_repeat,
        post_what_cannot_be_read_400_names_the_field,
        post_an_action_400_names_its_index,
        post_talk_where_a_node_speaks_and_else_400,
        webhook_created_includes_the_name,
        get_answers_what_was_made,
        get_404_there_is_none,
        get_400_no_uuid,
        get_403_it_belongs_to_another_app,
        put_changes_what_is_given_and_nothing_else,
        put_type_400,
        put_409_it_is_over,
        webhook_updated_says_what_changed,
        delete_of_an_empty_one_terminates_it,
        delete_parks_its_members_and_then_it_is_terminated,
        delete_again_answers_it_as_it_is,
        status_only_moves_forward,
        list_pages_by_page_size_and_page_token,
        list_page_size_400_not_a_positive_number,
        list_page_token_400_not_one_of_this_list,
        both_apis_have_the_same_rooms,
        a_call_may_come_by_one_api_and_leave_by_the_other,
    ]
}

async fn post_answers_200_with_all_sixteen_fields(row: &Row<'_>) {
    let made = row.good("POST", "/conferences", json!({})).await;
    shape::check(&made, &new_conference(&json!({})));
    assert_eq!(made.as_object().unwrap().len(), 16);
}

async fn post_keeps_name_detail_data_timeout_and_actions_as_they_were_given(row: &Row<'_>) {
    let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let url = row.sound(100);
    let said = json!({
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
    let made = row.good("POST", "/conferences", said.clone()).await;
    shape::check(&made, &new_conference(&said));
    let read = row.conference_is(made["id"].as_str().unwrap()).await;
    assert_eq!(read, made);
}

async fn post_takes_post_action_as_the_older_documents_write_it(row: &Row<'_>) {
    let beep = json!([{ "id": super::NIL, "next_id": super::NIL, "type": "beep", "option": {} }]);
    let made = row
        .good("POST", "/conferences", json!({ "post_action": beep }))
        .await;
    shape::check(&made, &new_conference(&json!({ "post_actions": beep })));
    let bad = json!({ "post_action": [{ "type": "dance" }] });
    let answer = row.v("POST", "/conferences", bad).await;
    answer.blames("post_action[0]");
}

async fn post_type_conference_or_connect_and_no_other(row: &Row<'_>) {
    for kind in ["conference", "connect"] {
        let body = json!({ "type": kind });
        let made = row.good("POST", "/conferences", body.clone()).await;
        shape::check(&made, &new_conference(&body));
    }
    for kind in [json!("webinar"), json!(""), json!(1)] {
        let body = json!({ "type": kind });
        row.v("POST", "/conferences", body).await.blames("type");
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
        let made = row.good("POST", "/conferences", body).await;
        assert_eq!(made["name"], name);
    }
}

async fn post_what_cannot_be_read_400_names_the_field(row: &Row<'_>) {
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
        answer.blames(field);
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
            answer.blames(&format!("{field}[1]"));
        }
    }
}

async fn post_talk_where_a_node_speaks_and_else_400(row: &Row<'_>) {
    let talk = json!([{ "type": "talk", "option": { "text": "Hello.", "language": "en-US" } }]);
    let body = json!({ "pre_actions": talk });
    if row.fs("module_exists mod_flite").await != "true" {
        let answer = row.v("POST", "/conferences", body).await;
        return answer.blames("pre_actions[0]");
    }
    let id = row.conference(body).await;
    let (call, _) = row.inside(&id).await;
    row.until_speaks(&row.room_of_conference(&id), &call, Some(true))
        .await;
}

async fn webhook_created_includes_the_name(row: &Row<'_>) {
    let id = row.conference(json!({ "name": "free text" })).await;
    let room = row.room_of_conference(&id);
    let data = json!({ "name": "free text" });
    row.told_exactly(&room, "conference.created", None, data)
        .await;
}

async fn get_answers_what_was_made(row: &Row<'_>) {
    let made = row
        .good(
            "POST",
            "/conferences",
            json!({ "name": "n", "timeout": 60 }),
        )
        .await;
    let read = row.conference_is(made["id"].as_str().unwrap()).await;
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
    answer.blames("conference_id");
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
    shape::check(&row.conference_is(&id).await, &new_conference(&json!({})));
}

async fn put_changes_what_is_given_and_nothing_else(row: &Row<'_>) {
    let id = row
        .conference(json!({ "name": "one", "detail": "first", "data": { "a": 1 } }))
        .await;
    let before = row.conference_is(&id).await;
    let path = format!("/conferences/{id}");
    let changed = row.good("PUT", &path, json!({ "name": "two" })).await;
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
    let changed = row.good("PUT", &path, rest.clone()).await;
    for (name, value) in rest.as_object().unwrap() {
        expected[name] = value.clone();
    }
    shape::check(&changed, &expected);
    assert_eq!(row.conference_is(&id).await, changed);
}

async fn put_type_400(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    let body = json!({ "type": "conference" });
    row.v("PUT", &path, body).await.blames("type");
}

async fn put_409_it_is_over(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    row.good("DELETE", &path, Value::Null).await;
    row.until_conference(&id, "terminated").await;
    let answer = row.v("PUT", &path, json!({ "name": "n" })).await;
    answer.fails(409);
}

async fn webhook_updated_says_what_changed(row: &Row<'_>) {
    let id = row.conference(json!({ "name": "one" })).await;
    let body = json!({ "name": "two", "timeout": 60 });
    row.good("PUT", &format!("/conferences/{id}"), body.clone())
        .await;
    let room = row.room_of_conference(&id);
    row.told_exactly(&room, "conference.updated", None, body)
        .await;
}

async fn delete_of_an_empty_one_terminates_it(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.good("DELETE", &format!("/conferences/{id}"), Value::Null)
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
    row.told(&room, "conference.destroyed").await;
    let answer = row.get(&format!("/conferences/{room}")).await;
    answer.fails(404);
}

async fn delete_parks_its_members_and_then_it_is_terminated(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, stay) = row.inside(&id).await;
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &call);
    let answer = row
        .good("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    assert_eq!(answer["status"], "terminating");
    // "No new participants can join."
    let late = row.call().await;
    row.enters(&id, &late).await.fails(409);
    hold.release();
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["conferencecall_ids"], json!([]));
    assert_eq!(row.call_is(&stay).await["status"], "leaved");
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
}

async fn delete_again_answers_it_as_it_is(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}");
    row.good("DELETE", &path, Value::Null).await;
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(row.good("DELETE", &path, Value::Null).await, over);
}

async fn status_only_moves_forward(row: &Row<'_>) {
    const STATES: [&str; 4] = ["starting", "progressing", "terminating", "terminated"];
    let id = row.conference(json!({})).await;
    let (call, _) = row.inside(&id).await;
    let room = row.room_of_conference(&id);
    let hold = row.hold_room_and_call(&room, &call);
    let mut seen = vec![row.conference_is(&id).await];
    seen.push(
        row.good("DELETE", &format!("/conferences/{id}"), Value::Null)
            .await,
    );
    seen.push(row.conference_is(&id).await);
    hold.release();
    seen.push(row.until_conference(&id, "terminated").await);
    // What comes in by the dialplan does not bring it back.
    let plan = format!("{room}@roomkeeper");
    row.placed(&row.app, ("conference", &plan)).await;
    seen.push(row.conference_is(&id).await);
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
        let page = row.good("GET", &query, Value::Null).await;
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
    // The app's conferences are those of the other rows, too.
    let mut made = BTreeSet::new();
    for n in 0..5 {
        made.insert(row.conference(json!({ "name": format!("p{n}") })).await);
    }
    let all = pages(row, "/conferences?", 3).await;
    let ids: Vec<&str> = all.iter().map(|c| c["id"].as_str().unwrap()).collect();
    let different: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(different.len(), ids.len(), "nothing twice");
    assert!(made.iter().all(|id| different.contains(id.as_str())));
    let one = all.iter().find(|c| c["name"] == "p0").unwrap();
    assert_eq!(one.as_object().unwrap().len(), 16);
}

async fn list_page_size_400_not_a_positive_number(row: &Row<'_>) {
    for bad in ["0", "-1", "many", "1.5", ""] {
        for list in ["conferences", "conferencecalls", "recordings"] {
            let path = format!("/{list}?page_size={bad}");
            row.v("GET", &path, Value::Null).await.blames("page_size");
        }
    }
}

async fn list_page_token_400_not_one_of_this_list(row: &Row<'_>) {
    for list in ["conferences", "conferencecalls", "recordings"] {
        let path = format!("/{list}?page_token=2022-02-03");
        row.v("GET", &path, Value::Null).await.blames("page_token");
    }
}

async fn both_apis_have_the_same_rooms(row: &Row<'_>) {
    // Made there, seen and ended here.
    let name = row.fresh_name();
    let body = json!({ "name": name, "node": row.node() });
    let room = row.post("/conferences", body).await.text("room_id");
    row.note(&room);
    let id = room.rsplit_once("-room-").unwrap().1.to_owned();
    let seen = row.conference_is(&id).await;
    shape::check(&seen, &new_conference(&json!({ "name": name })));
    assert_eq!(seen["id"], id);
    row.good("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    row.told(&room, "conference.destroyed").await;
    row.get(&format!("/conferences/{room}")).await.fails(404);
    // Its name is free again.
    let body = json!({ "name": name, "node": row.node() });
    let answer = row.post("/conferences", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    row.note(&answer.text("room_id"));

    // Made here, seen and ended there.
    let id = row.conference(json!({ "name": "as it is: Ü" })).await;
    let room = row.room_of_conference(&id);
    assert_eq!(row.status(&room).await.body["name"], "as it is: Ü");
    assert_eq!(row.delete(&room).await.status, 200);
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["id"], json!(id));
}

async fn a_call_may_come_by_one_api_and_leave_by_the_other(row: &Row<'_>) {
    // Made in the gateway API: members come in muted, whichever way.
    let room = row.room().await;
    let id = room.rsplit_once("-room-").unwrap().1.to_owned();
    let (call, stay) = row.inside(&id).await;
    row.until_speaks(&room, &call, Some(false)).await;
    assert_eq!(row.status(&room).await.body["members"], 1);
    let answer = row.command(&call, "leave", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.until_call(&stay, "leaved").await;

    // Made here: unmuted, whichever way.
    let id = row.conference(json!({})).await;
    let room = row.room_of_conference(&id);
    let call = row.call().await;
    let answer = row.joins(&call, &room).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let joined = row.told(&room, "conference.member.joined").await;
    let stay = joined.body["data"]["conferencecall_id"].as_str().unwrap();
    row.until_speaks(&room, &call, Some(true)).await;
    assert_eq!(row.call_is(stay).await["status"], "joined");
    let left = row
        .good("DELETE", &format!("/conferencecalls/{stay}"), Value::Null)
        .await;
    shape::check(&left["id"], &json!(UUID));
    row.until_call(stay, "leaved").await;
    row.until_parked(&call).await;
}
