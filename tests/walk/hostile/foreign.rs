//! Another app's ids, on every endpoint that accepts one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::http::Raw;
use super::inbound;
use super::places::{fields, of_path, operations};
use super::stage::{DEMO, OTHER, OTHER_DID, Stage};
use super::wire::Form;

/// An app's objects: a room, a call in the room, another call.
struct Property {
    room: String,
    member: String,
    parked: String,
    webhook: String,
    delivery: String,
}

async fn create_property(stage: &Stage, app: (&str, &str), did: &str) -> Property {
    let mut call = inbound("527121100");
    call.did = did.to_owned();
    let member = stage.call(app, call.clone()).await;
    let parked = stage.call(app, call).await;
    let room = stage.room(app, "own").await;
    stage.join(app, &member, &room).await;
    let wanted = json!({"url": "https://example.com/hook", "events": ["webhook.*"]});
    let made = stage
        .ask(app, "POST", "/webhooks", Some(&wanted), 201)
        .await;
    let webhook = made["id"].as_str().unwrap().to_owned();
    // A disabled endpoint keeps its deliveries and sends none.
    let path = format!("/webhooks/{webhook}");
    let disable = json!({"enabled": false});
    stage.ask(app, "PATCH", &path, Some(&disable), 200).await;
    let path = format!("{path}/test");
    let sent = stage.ask(app, "POST", &path, None, 202).await;
    Property {
        room,
        member,
        parked,
        webhook,
        delivery: sent["id"].as_str().unwrap().to_owned(),
    }
}

/// Reads an app's view of its own objects.
async fn read_property(stage: &Stage, app: (&str, &str), own: &Property) -> Vec<Value> {
    let mut all = Vec::new();
    for path in [
        "/conferences".to_owned(),
        "/sessions".to_owned(),
        format!("/conferences/{}", own.room),
        format!("/conferences/{}/members", own.room),
        format!("/sessions/{}", own.member),
        format!("/sessions/{}", own.parked),
        "/webhooks".to_owned(),
        format!("/webhooks/{}", own.webhook),
        format!("/webhooks/{}/deliveries/{}", own.webhook, own.delivery),
    ] {
        all.push(stage.ask(app, "GET", &path, None, 200).await);
    }
    all
}

/// Returns the fields of a documented body that are ids.
fn ids_in_body(document: &Value, operation: &Value) -> Vec<(String, &'static str)> {
    let media = &operation["requestBody"]["content"]["application/json"];
    let mut ids = Vec::new();
    for (field, schema) in fields(document, &media["schema"]) {
        // An optional field is one of two alternatives.
        let text = schema.to_string();
        for kind in ["RoomId", "SessionId"] {
            if text.contains(&format!("schemas/{kind}\"")) {
                ids.push((field.clone(), kind));
            }
        }
    }
    ids
}

/// Returns requests with another app's ids: the operation, the request, the expected status.
fn requests(
    document: &Value,
    own: &Property,
    foreign: &Property,
    hides: bool,
) -> Vec<(String, Raw, u16)> {
    let mut all = Vec::new();
    for (method, path, operation) in operations(document) {
        let what = format!("{method} {path}");
        let mut good = operation["requestBody"]["content"]["application/json"]["example"].clone();
        let mut ids = ids_in_body(document, operation);
        // A list of members that are left out refers to nothing: others' ids have no effect there.
        ids.retain(|(field, _)| field != "except");
        if good.get("except").is_some() {
            good["except"] = json!([own.parked]);
        }
        for (field, kind) in &ids {
            let id = if *kind == "RoomId" {
                &own.room
            } else {
                &own.parked
            };
            if good.get(field).is_some() {
                good[field] = json!(id);
            }
        }
        if good.get("prompt_url").is_some() {
            good["prompt_url"] = json!("http://127.0.0.1/a.wav");
        }
        if good.get("urls").is_some() {
            good["urls"] = json!(["http://127.0.0.1/a.wav"]);
        }
        if good.get("music_url").is_some() {
            good["music_url"] = json!("http://127.0.0.1/a.wav");
        }
        let request = |path: &str, body: &Value| {
            let request = Raw::new(&method.to_uppercase(), path, OTHER);
            if body.is_null() {
                request
            } else {
                request.body(body.to_string())
            }
        };
        let put = |room: &str, call: &str| {
            path.replace("{room_id}", room)
                .replace("{uuid}", call)
                .replace("{id}", &foreign.webhook)
                .replace("{webhook_id}", &foreign.delivery)
        };
        let documented = |status: u16| {
            assert!(
                operation["responses"][status.to_string()].is_object(),
                "{what}: {status}"
            );
            status
        };
        // An operation without a documented 403 answers 404.
        let has_403 = operation["responses"]["403"].is_object();
        let status = if hides || !has_403 { 404 } else { 403 };
        if !of_path(path).is_empty() {
            for call in [&foreign.member, &foreign.parked] {
                let request = request(&put(&foreign.room, call), &good);
                all.push((what.clone(), request, documented(status)));
            }
        }
        for (field, kind) in &ids {
            let id = if *kind == "RoomId" {
                &foreign.room
            } else {
                &foreign.parked
            };
            let mut bad = good.clone();
            bad[field] = json!(id);
            let request = request(&put(&own.room, &own.parked), &bad);
            all.push((format!("{what}, {field}"), request, documented(status)));
        }
    }
    all
}

async fn check_ids_are_refused(hides: bool) {
    let stage = Stage::start(hides).await;
    let foreign = create_property(&stage, DEMO, crate::program::switch::DID).await;
    let own = create_property(&stage, OTHER, OTHER_DID).await;
    let document = stage.document().await;
    let before = (
        read_property(&stage, DEMO, &foreign).await,
        read_property(&stage, OTHER, &own).await,
    );
    let mut forms_before = stage.check();
    let (mut operations_sent, mut words) = (BTreeSet::new(), BTreeSet::new());
    for (what, request, status) in requests(&document, &own, &foreign, hides) {
        let answer = stage.send(&request).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.is_envelope(), "{what}: {}", answer.text);
        if status == 404 {
            words.insert(answer.json().to_string());
        }
        operations_sent.insert(what);
    }
    assert!(operations_sent.len() >= 16, "{operations_sent:?}");
    // Another app's room or call gets the same answer as one that does not exist.
    let nothing = "550e8400-e29b-41d4-a716-446655440000";
    for path in [
        format!("/conferences/acW68-room-{nothing}"),
        format!("/sessions/acW68-{nothing}"),
        "/webhooks/ep_0".to_owned(),
    ] {
        let answer = stage.ask(OTHER, "GET", &path, None, 404).await;
        words.remove(&answer.to_string());
    }
    assert!(words.is_empty(), "{words:?}");
    // A command of its own takes the same way, behind the commands that these requests would have caused.
    let own_command = format!("/sessions/{}/commands/conference/unmute", own.member);
    stage.ask(OTHER, "POST", &own_command, None, 202).await;
    let channel = own.member.split_once('-').unwrap().1;
    stage.until_sent(&format!("unmute uuid={channel}")).await;
    let mut after = stage.check();
    *after.get_mut(&Form::Unmute).unwrap() -= 1;
    // The connection's own commands do not depend on requests.
    forms_before.remove(&Form::Connection);
    after.retain(|form, count| *count > 0 && *form != Form::Connection);
    assert_eq!(after, forms_before, "the node received a command");
    assert_eq!(read_property(&stage, DEMO, &foreign).await, before.0);
    let own_again = read_property(&stage, OTHER, &own).await;
    assert_eq!(own_again[0], before.1[0], "a room was created");
    // No list contains the other app's objects.
    let lists = format!("{} {}", own_again[0], own_again[1]);
    for id in [&foreign.room, &foreign.member, &foreign.parked] {
        assert!(!lists.contains(id.as_str()), "{lists}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_apps_ids_are_refused() {
    check_ids_are_refused(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_apps_ids_are_not_found_when_they_are_hidden() {
    check_ids_are_refused(true).await;
}
