//! The VoIPBIN API where its conformance rows, which need a running program, do not come to: a store that is away,
//! another app's things when they are hidden, limits.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::Request;
use roomkeeper::api::ApiSettings;
use roomkeeper::api::limits::LimitSettings;
use roomkeeper::ids::{MemberId, RecordingId, RoomId};
use roomkeeper::room::Origin;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::time::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

use crate::faulty::Faulty;
use crate::world::*;

/// Operations on what there may be, each with a good body.
fn operations(conference: Uuid, call: Uuid, recording: Uuid) -> Vec<(&'static str, String, Value)> {
    let of = |id: Uuid| format!("/v1.0/conferences/{id}");
    vec![
        ("GET", of(conference), Value::Null),
        ("PUT", of(conference), json!({ "name": "n" })),
        ("DELETE", of(conference), Value::Null),
        ("POST", of(conference) + "/recording_start", json!({})),
        ("POST", of(conference) + "/recording_stop", json!({})),
        ("GET", format!("/v1.0/conferencecalls/{call}"), Value::Null),
        (
            "DELETE",
            format!("/v1.0/conferencecalls/{call}"),
            Value::Null,
        ),
        ("GET", format!("/v1.0/recordings/{recording}"), Value::Null),
    ]
}

async fn ask(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    let body = Some(body.clone()).filter(|body| !body.is_null());
    world.send(request(DEMO, method, path, body)).await
}

fn located(node: &str, n: u128) -> (RoomId, MemberId, RecordingId) {
    let node = node_id(node);
    let fresh = Uuid::from_u128(n << 32);
    (
        RoomId::fresh(node, fresh),
        MemberId::fresh(node, fresh),
        RecordingId::fresh(node, fresh),
    )
}

#[tokio::test]
async fn a_store_that_is_away_503_with_retry_after() {
    let store = Arc::new(MemoryStore::new());
    let broken = ["read", "read_head", "read_views", "list_views"];
    let faulty = Faulty::new(store.clone(), &broken);
    let world = World::on(faulty.clone(), store, settings());
    let (room, call, recording) = located("acW68", 1);
    let mut all = operations(room.uuid(), call.uuid(), recording.uuid());
    let lists = ["conferences", "conferencecalls", "recordings"];
    all.extend(lists.map(|list| ("GET", format!("/v1.0/{list}"), Value::Null)));
    let joins = json!({
        "conference_id": room.uuid(),
        "reference_type": "call",
        "reference_id": Uuid::new_v4(),
    });
    all.push(("POST", "/v1.0/conferencecalls".to_owned(), joins));
    for (n, (method, path, body)) in all.iter().enumerate() {
        ask(&world, method, path, body).await.fails(503);
        assert!(
            faulty.fired.load(Ordering::Relaxed) > n as u64,
            "{method} {path}"
        );
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn what_is_another_apps_is_403_or_in_the_words_of_what_does_not_exist() {
    for hidden in [false, true] {
        let world = World::with(ApiSettings {
            hide_foreign: hidden,
            ..settings()
        });
        let (room, call, recording) = located("acW68", 1);
        let other = app("other");
        let at = Timestamp::from_millis(1);
        put_room(
            &world.store,
            &new_room(room, &other, "theirs", Origin::Voipbin, at),
        )
        .await;
        let (none, ..) = located("acW68", 2);
        let theirs = operations(room.uuid(), call.uuid(), recording.uuid());
        let nothing = operations(none.uuid(), call.uuid(), recording.uuid());
        for ((method, path, body), (_, empty, _)) in theirs.iter().zip(&nothing) {
            let answer = ask(&world, method, path, body).await;
            let missing = ask(&world, method, empty, body).await;
            missing.fails(404);
            if hidden || path == empty {
                assert_eq!(answer.text, missing.text, "{method} {path}");
            } else {
                answer.fails(403);
            }
        }
        let list = ask(&world, "GET", "/v1.0/conferences", &Value::Null).await;
        list.is(200, json!({ "result": [], "next_page_token": "" }));
        assert!(world.intents().is_empty());
    }
}

#[tokio::test]
async fn an_apps_limit_counts_whichever_way_its_key_comes() {
    let world = World::with(ApiSettings {
        limits: LimitSettings {
            app_rate: 3,
            cooldowns: false,
        },
        ..settings()
    });
    let path = "/v1.0/conferences";
    let get = |path: &str, bearer: Option<&str>| {
        let mut request = Request::builder().uri(path);
        if let Some(key) = bearer {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        world.send(request.body(Body::empty()).unwrap())
    };
    let (_, key) = DEMO;
    assert_eq!(ask(&world, "GET", path, &Value::Null).await.status, 200);
    assert_eq!(get(path, Some(key)).await.status, 200);
    let token = format!("{path}?token={key}");
    assert_eq!(get(&token, None).await.status, 200);
    for _ in 0..2 {
        get(path, Some(key)).await.fails(429);
        get(&token, None).await.fails(429);
        ask(&world, "GET", path, &Value::Null).await.fails(429);
    }
    let (_, other) = OTHER;
    assert_eq!(get(path, Some(other)).await.status, 200);
}
