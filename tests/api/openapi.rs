//! The OpenAPI documents, compared with the routers, the responses, and themselves.

mod admin;
mod events;
mod form;
mod pages;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use roomkeeper::http::{admin_document, document};
use roomkeeper::reconciler::Accepted;
use roomkeeper_core::intent::{
    FlagAccepted, JoinAccepted, LeaveAccepted, LockAccepted, MoveAccepted, OperationAccepted,
};
use roomkeeper_core::room::MemberFlag;
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/openapi.json");
const COMMITTED_ADMIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/openapi-admin.json");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The paths that are served besides the API.
const UNDOCUMENTED: [&str; 5] = [
    "/docs",
    "/docs/start.js",
    "/docs/style.css",
    "/docs/viewer.js",
    "/openapi.json",
];

/// The document of the callers' API, with each reference to a shared part replaced by the part.
fn api() -> Value {
    resolved(&document().unwrap())
}

/// A document whose operations contain their shared responses, parameters and examples.
fn resolved(document: &str) -> Value {
    let mut api: Value = serde_json::from_str(document).unwrap();
    let components = api["components"].clone();
    let shared = |reference: &Value| -> Option<Value> {
        let pointer = reference["$ref"].as_str()?.strip_prefix("#/components")?;
        let part = components.pointer(pointer);
        Some(
            part.unwrap_or_else(|| panic!("{pointer} is missing"))
                .clone(),
        )
    };
    let items = api["paths"].as_object_mut().unwrap().values_mut();
    for operation in items.flat_map(|item| item.as_object_mut().unwrap().values_mut()) {
        let parameters = operation["parameters"].as_array_mut();
        for parameter in parameters.into_iter().flatten() {
            *parameter = shared(parameter).unwrap_or_else(|| parameter.clone());
        }
        if operation["parameters"].is_null() {
            operation.as_object_mut().unwrap().remove("parameters");
        }
        let responses = operation["responses"].as_object_mut().unwrap();
        for response in responses.values_mut() {
            *response = shared(response).unwrap_or_else(|| response.clone());
            let media = response["content"].as_object_mut().into_iter().flatten();
            for (_, media) in media {
                if let Some(example) = shared(&media["examples"]["example"]) {
                    media["example"] = example["value"].clone();
                }
                media.as_object_mut().unwrap().remove("examples");
            }
        }
    }
    api
}

/// The operations of a document, as method and path, and the operation.
fn operations(api: &Value) -> Vec<(String, &Value)> {
    let items = api["paths"].as_object().unwrap().iter();
    items
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap().iter();
            item.map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

/// A self-contained validator of a schema of the document.
fn schema(api: &Value, schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = api["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[track_caller]
fn fits(api: &Value, media: &Value, instance: &Value, what: &str) {
    let validator = schema(api, &media["schema"]);
    let errors: Vec<_> = validator
        .iter_errors(instance)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:?} in {instance}");
}

#[test]
fn committed_documents_match_code() {
    for (path, made) in [
        (COMMITTED, document().unwrap()),
        (COMMITTED_ADMIN, admin_document().unwrap()),
    ] {
        // Indented, so that changes can be read.
        let made: Value = serde_json::from_str(&made).unwrap();
        let made = format!("{}\n", serde_json::to_string_pretty(&made).unwrap());
        if std::env::var_os("ROOMKEEPER_WRITE_FIXTURES").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == made,
            "{path} differs from the code: run this test with ROOMKEEPER_WRITE_FIXTURES=1"
        );
    }
}

#[test]
fn document_has_version_and_security_schemes() {
    let api = api();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        api["components"]["securitySchemes"]["api_key"],
        json!({"type": "apiKey", "in": "header", "name": "X-API-Key"})
    );
    assert_eq!(api["security"], json!([{"app_id": [], "api_key": []}]));
    assert_eq!(api["servers"][0]["url"], "/");
    check_failures(&api);
}

/// Asserts that exactly the responses of failures have the common form, and that the refusals that end by themselves
/// say when.
fn check_failures(api: &Value) {
    for (what, operation) in operations(api) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let media = &response["content"]["application/json"];
            let is_failure = media["schema"]["$ref"] == "#/components/schemas/Failure";
            assert_eq!(is_failure, !status.starts_with('2'), "{what} {status}");
        }
        for status in ["429", "503"] {
            let shared = &operation["responses"][status];
            // Operations may state the reason themselves.
            let says = shared["headers"]["Retry-After"].is_object()
                || shared["description"]
                    .as_str()
                    .unwrap()
                    .contains("Retry-After")
                || what == "get /readyz";
            assert!(says, "{what} {status}");
        }
    }
}

#[tokio::test]
async fn every_documented_operation_is_routed_and_no_other_method_is() {
    let (api, world) = (api(), World::new());
    for (path, item) in api["paths"].as_object().unwrap() {
        let path = with_ids(path);
        for method in METHODS {
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(&path)
                .body(Body::empty())
                .unwrap();
            // Without a key, every route returns 401.
            let expected = if item[method].is_object() { 401 } else { 405 };
            let status = world.send(request).await.status.as_u16();
            assert_eq!(status, expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_route_is_documented() {
    let api = api();
    // The router reveals its routes in its debug output only.
    let shown = format!("{:?}", World::new().router);
    let routed: BTreeSet<&str> = shown
        .split('"')
        // The fallback is at the root.
        .filter(|text| text.starts_with('/') && *text != "/" && !text.contains("__private"))
        // The console's files are not part of the API.
        .filter(|text| !text.starts_with("/console"))
        .collect();
    assert!(routed.contains("/api/v1/conferences/{room_id}"), "{shown}");
    let documented: BTreeSet<&str> = api["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .chain(UNDOCUMENTED)
        .collect();
    assert_eq!(routed, documented);
}

#[test]
fn examples_fit_their_schemas() {
    check_examples(&api());
}

fn check_examples(api: &Value) {
    let mut seen = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap().iter();
            let request = operation.get("requestBody").map(|body| ("request", body));
            for (name, holder) in answers.map(|(s, r)| (s.as_str(), r)).chain(request) {
                let media = &holder["content"]["application/json"];
                let what = format!("{method} {path} {name}");
                if let Some(stream) = holder["content"].get("text/event-stream") {
                    // The example is text as on the wire; another test checks its events.
                    fits(api, stream, &stream["example"], &what);
                    continue;
                }
                if holder["content"].get("text/plain").is_some() {
                    continue;
                }
                if let Some(example) = media.get("example") {
                    seen += 1;
                    fits(api, media, example, &what);
                    // A schema that accepts anything would accept this, too.
                    let validator = schema(api, &media["schema"]);
                    assert!(!validator.is_valid(&json!("no object")), "{what}");
                }
                let is_wanted = name.starts_with('2') || name == "request";
                assert!(media.get("example").is_some() || !is_wanted, "{what}");
            }
        }
    }
    assert!(seen >= 15, "{seen}");
}

/// Calls `found` with each value of this name in a JSON value.
fn each_named<'a>(value: &'a Value, name: &str, found: &mut impl FnMut(&'a Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == name {
                    found(value);
                }
                each_named(value, name, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|v| each_named(v, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn created_at_has_one_form_except_in_a_single_conference() {
    let api = api();
    let mut seen = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        // The documented form of this answer.
        if path == "/api/v1/conferences/{room_id}" {
            continue;
        }
        for operation in item.as_object().unwrap().values() {
            each_named(operation, "created_at", &mut |value| {
                let text = value.as_str().unwrap();
                let at = Timestamp::from_rfc3339(text).unwrap();
                assert_eq!(at.rfc3339_seconds(), text, "{path}");
                seen += 1;
            });
        }
    }
    assert!(seen >= 6, "{seen}");
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        let field = &schema["properties"]["created_at"];
        if field.is_object() && name != "RoomDetail" {
            assert_eq!(field["format"], "date-time", "{name}");
        }
    }
}

/// A documented path with ids of missing objects.
fn with_ids(path: &str) -> String {
    path.replace("{room_id}", &room_id("acW68", 1).to_string())
        .replace("{uuid}", &session_id("acW68", 1).to_string())
        .replace("{conference_id}", &Uuid::from_u128(1).to_string())
        .replace("{conferencecall_id}", &Uuid::from_u128(1).to_string())
        .replace("{id}", "ep_0")
        .replace("{webhook_id}", &format!("msg_{}", "0".repeat(32)))
        .replace("{recording_id}", &Uuid::from_u128(1).to_string())
}

/// The request of a documented operation, with ids.
fn request_for(path: &str, method: &str, body: Option<Value>) -> Request<Body> {
    request(DEMO, &method.to_uppercase(), &with_ids(path), body)
}

#[tokio::test]
async fn body_is_required_if_a_field_is_required() {
    let (api, world) = (api(), World::new());
    let mut seen = [0, 0];
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(body) = operation.get("requestBody") else {
                continue;
            };
            let what = format!("{method} {path}");
            let required = body["required"] == true;
            seen[usize::from(required)] += 1;
            // The objects in the path do not exist, so a request with a valid body is 404.
            let answer = world.send(request_for(path, method, None)).await;
            let missed = answer.status.as_u16() == 400;
            assert_eq!(required, missed, "{what}: {}", answer.text);
            // A present body must be an object.
            let schema = schema(&api, &body["content"]["application/json"]["schema"]);
            assert!(!schema.is_valid(&Value::Null), "{what}");
            let answer = world
                .send(request_for(path, method, Some(Value::Null)))
                .await;
            answer.fails(400);
        }
    }
    assert!(seen.iter().all(|n| *n > 2), "{seen:?}");
}

#[tokio::test]
async fn missing_objects_give_documented_errors() {
    let (api, world) = (api(), World::new());
    let foreign = session_id("acW68", 7);
    world.session(foreign, "other", 1).await;
    let documented = &api["paths"]["/api/v1/conferences"]["post"]["responses"];
    for (body, status) in [
        (json!({"name": "n", "node": "00000"}), 404),
        (
            json!({"name": "n", "session": session_id("acW68", 8).to_string()}),
            404,
        ),
        (json!({"name": "n", "session": foreign.to_string()}), 403),
    ] {
        world.post("/api/v1/conferences", body).await.fails(status);
        assert!(documented[status.to_string()].is_object(), "{status}");
    }
}

#[tokio::test]
async fn limit_of_any_size_is_documented_and_accepted() {
    let (api, world) = (api(), World::new());
    let mut seen = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        for limit in parameters.filter(|parameter| {
            ["limit", "page_size"]
                .iter()
                .any(|name| parameter["name"] == *name)
        }) {
            let mut schema = limit["schema"].clone();
            assert!(schema["description"].is_string(), "{path}");
            schema.as_object_mut().unwrap().remove("description");
            assert_eq!(schema, json!({"type": "integer", "minimum": 1}), "{path}");
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
    let beyond = format!("/api/v1/conferences?limit={}", u128::MAX);
    assert_eq!(world.get(&beyond).await.status.as_u16(), 200);
}

#[test]
fn documented_id_patterns_match_accepted_ids() {
    let api = api();
    for (name, good, bad) in [
        (
            "RoomId",
            room_id("acW68", 0xabc).to_string(),
            session_id("acW68", 0xabc).to_string(),
        ),
        (
            "SessionId",
            session_id("acW68", 0xabc).to_string(),
            room_id("acW68", 0xabc).to_string(),
        ),
    ] {
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        let schema = schema(&api, &reference);
        assert!(schema.is_valid(&json!(good)), "{good}");
        for bad in [bad, format!("{good}0"), good.to_uppercase(), String::new()] {
            assert!(!schema.is_valid(&json!(bad)), "{bad}");
        }
        let param = if name == "RoomId" { "room_id" } else { "uuid" };
        let mut seen = 0;
        for (path, item) in api["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                for found in parameters.filter(|p| p["name"] == param) {
                    assert_eq!(found["schema"], reference, "{method} {path}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 5, "{seen}");
    }
}

#[test]
fn links_lead_from_each_id_to_every_operation_that_takes_it() {
    let api = api();
    let items = api["paths"].as_object().unwrap().values();
    let operations: Vec<&Value> = items
        .flat_map(|item| item.as_object().unwrap().values())
        .collect();
    let takes = |operation: &Value, name: &str| {
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.any(|parameter| parameter["name"] == name)
    };
    let mut reached = BTreeSet::new();
    for source in &operations {
        for response in source["responses"].as_object().unwrap().values() {
            let example = &response["content"]["application/json"]["example"];
            for (name, link) in response["links"].as_object().into_iter().flatten() {
                let target = operations
                    .iter()
                    .find(|o| o["operationId"] == link["operationId"])
                    .unwrap_or_else(|| panic!("{name} leads nowhere"));
                for (parameter, expression) in link["parameters"].as_object().unwrap() {
                    assert!(takes(target, parameter), "{name}: {parameter}");
                    let expression = expression.as_str().unwrap();
                    let found = match expression.strip_prefix("$response.body#") {
                        Some(pointer) => example.pointer(pointer).is_some_and(Value::is_string),
                        None => takes(source, expression.strip_prefix("$request.path.").unwrap()),
                    };
                    assert!(found, "{name}: {expression}");
                    reached.insert((target["operationId"].as_str().unwrap(), parameter.as_str()));
                }
            }
        }
    }
    for operation in &operations {
        let id = operation["operationId"].as_str().unwrap();
        for parameter in ["room_id", "uuid", "id", "webhook_id", "cursor"] {
            let is_reached = reached.contains(&(id, parameter));
            assert_eq!(takes(operation, parameter), is_reached, "{id} {parameter}");
        }
    }
}

#[tokio::test]
async fn real_answers_fit_their_schemas() {
    let (api, world) = (api(), World::new());
    let room = room_id("acW68", 1);
    let call = session_id("acW68", 1);
    let (rooms, calls) = (
        format!("/api/v1/conferences/{room}"),
        format!("/api/v1/sessions/{call}"),
    );
    world.room(room, "demo", "a", 1, 2).await;
    world.session(call, "demo", 1).await;
    let operation = "a1b2c3d4-e5f6-7890-abcd-ef1234567890".parse().unwrap();
    world
        .script(Ok(Accepted::Join(JoinAccepted::Joining {
            room,
            member: membership_id(),
        })))
        .script(Ok(Accepted::Leave(LeaveAccepted { room })))
        .script(Ok(Accepted::SetFlag(FlagAccepted {
            room,
            flag: MemberFlag::Speak,
            on: false,
        })))
        .script(Ok(Accepted::SetFlag(FlagAccepted {
            room,
            flag: MemberFlag::Speak,
            on: true,
        })))
        .script(Ok(Accepted::Answer(OperationAccepted { operation })))
        .script(Ok(Accepted::Hangup(OperationAccepted { operation })))
        .script(Ok(Accepted::Move(MoveAccepted { room })))
        .script(Ok(Accepted::SetLock(LockAccepted::InProgress)))
        .script(Ok(Accepted::SetLock(LockAccepted::Locked {
            locked: false,
        })))
        .script(Ok(Accepted::Kick(LeaveAccepted { room })));
    let join = json!({"room_id": room.to_string()});
    let empty = json!({});
    let command = |name: &str| {
        (
            format!("{calls}/commands/{name}"),
            format!("/api/v1/sessions/{{uuid}}/commands/{name}"),
        )
    };
    let mut walk: Vec<(&str, String, String, Option<&Value>)> = Vec::new();
    for (name, body) in [
        ("conference/join", &join),
        ("conference/leave", &empty),
        ("conference/mute", &empty),
        ("conference/unmute", &empty),
        ("answer", &empty),
        ("hangup", &empty),
    ] {
        let (path, documented) = command(name);
        walk.push(("post", path, documented, Some(body)));
    }
    walk.push((
        "post",
        format!("{rooms}/members/{call}/move"),
        "/api/v1/conferences/{room_id}/members/{uuid}/move".to_owned(),
        Some(&join),
    ));
    for (path, documented) in [
        ("/lock", "/lock"),
        ("/unlock", "/unlock"),
        (&*format!("/members/{call}/kick"), "/members/{uuid}/kick"),
        (&*format!("/members/{call}/deaf"), "/members/{uuid}/deaf"),
        (
            &*format!("/members/{call}/undeaf"),
            "/members/{uuid}/undeaf",
        ),
    ] {
        let documented = format!("/api/v1/conferences/{{room_id}}{documented}");
        walk.push(("post", format!("{rooms}{path}"), documented, Some(&empty)));
    }
    let list = |path: &str| ("get", path.to_owned(), path.to_owned(), None);
    walk.push(list("/api/v1/conferences"));
    walk.push(list("/api/v1/sessions"));
    walk.push(list("/api/v1/nodes"));
    walk.push((
        "get",
        rooms.clone(),
        "/api/v1/conferences/{room_id}".to_owned(),
        None,
    ));
    walk.push((
        "get",
        format!("{rooms}/members"),
        "/api/v1/conferences/{room_id}/members".to_owned(),
        None,
    ));
    walk.push((
        "get",
        calls.clone(),
        "/api/v1/sessions/{uuid}".to_owned(),
        None,
    ));
    // All failures have one form.
    walk.push((
        "get",
        format!("{rooms}0"),
        "/api/v1/conferences/{room_id}".to_owned(),
        None,
    ));
    walk.push((
        "delete",
        rooms.clone(),
        "/api/v1/conferences/{room_id}".to_owned(),
        None,
    ));
    // Lists report that the rows of a node that is down are stale.
    let stale = list("/api/v1/sessions");
    walk.push(stale);
    let last = walk.len() - 1;
    for (n, (method, path, documented, body)) in walk.into_iter().enumerate() {
        if n == last {
            world.set_node("acW68", |node| {
                node.link = down(std::time::Duration::from_secs(1))
            });
        }
        let answer = world
            .send(request(DEMO, &method.to_uppercase(), &path, body.cloned()))
            .await;
        let status = answer.status.as_u16().to_string();
        let what = format!("{method} {documented} {status}");
        let response = &api["paths"][&documented][method]["responses"][&status];
        assert!(
            response.is_object(),
            "{what} is not documented: {}",
            answer.text
        );
        fits(
            &api,
            &response["content"]["application/json"],
            &answer.json(),
            &what,
        );
    }
}
