//! The webhook endpoints of an app, and their deliveries.

use std::sync::Arc;
use std::time::Duration;

use roomkeeper::clock;
use roomkeeper::store::Store;
use roomkeeper::store::deliveries::{
    AttemptRecord, Deliveries, DeliveryResult, DeliveryStatus, NewDelivery, Share,
};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::webhook::endpoint::{Endpoint, EndpointDisabler};
use roomkeeper::webhook::sign::Secret;
use roomkeeper_core::ids::EndpointId;
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::admin::admin;
use crate::apps::ask;
use crate::world::*;

const PATH: &str = "/api/v1/webhooks";
const HOUR: Duration = Duration::from_secs(3600);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn patch(world: &World, path: &str, body: Value) -> Answer {
    world.send(request(DEMO, "PATCH", path, Some(body))).await
}

/// Creates an endpoint at this path of example.com; returns its id.
async fn create_endpoint(world: &World, at: &str, body: Value) -> String {
    let mut whole = json!({"url": format!("https://example.com/{at}")});
    let fields = whole.as_object_mut().unwrap();
    fields.extend(body.as_object().unwrap().clone());
    let answer = world.post(PATH, whole).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn endpoint(id: &str) -> EndpointId {
    id.parse().unwrap()
}

/// A world with a configured endpoint; returns its id, too.
fn with_configured() -> (World, String) {
    let mut demo = configured(DEMO);
    let url = "https://example.com/configured?token=t".parse().unwrap();
    let secrets = vec![SECRET.parse().unwrap()];
    let hook = Endpoint::new(app("demo"), url, secrets, vec!["*".parse().unwrap()]);
    let id = hook.id.to_string();
    demo.webhooks.push(hook);
    let store = Arc::new(MemoryStore::new());
    let world = World::with_apps(&[demo, configured(OTHER)], store.clone(), store, settings());
    (world, id)
}

/// Finishes all due deliveries of the first node with this result.
async fn attempt(world: &World, result: DeliveryResult, status: u16) -> usize {
    let node = node_id(NODES[0]);
    let claims = world
        .store
        .claim_deliveries(node, HOUR, Share::all(100))
        .await
        .unwrap();
    for claim in &claims {
        let attempt = AttemptRecord {
            at: 1_778_070_896_672_025,
            status: Some(status),
            error: None,
            ms: 12,
        };
        let finish = world
            .store
            .finish_delivery(node, claim, result, Some(&attempt));
        finish.await.unwrap().unwrap();
    }
    claims.len()
}

#[tokio::test]
async fn endpoint_is_created_read_changed_and_removed() {
    let world = World::new();
    let body = json!({"url": "https://example.com/hook?token=t", "events": ["call.*", "call.*", "conference.created"]});
    let answer = world.post(PATH, body).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut row = answer.json();
    let secret = row["secret"].take().as_str().unwrap().to_owned();
    assert!(secret.parse::<Secret>().is_ok());
    row.as_object_mut().unwrap().remove("secret");
    let id = row["id"].as_str().unwrap().to_owned();
    assert_eq!(row["url"], "https://example.com/hook?token=t");
    assert_eq!(row["events"], json!(["call.*", "conference.created"]));
    assert_eq!(
        (&row["enabled"], &row["configured"], &row["disabled_reason"]),
        (&json!(true), &json!(false), &Value::Null)
    );
    let list = world.get(PATH).await;
    let mut summary = row.clone();
    for field in ["last_success_at", "last_error"] {
        summary[field] = Value::Null;
    }
    list.is(200, json!({ "webhooks": [summary] }));
    let path = format!("{PATH}/{id}");
    let read = world.get(&path).await;
    let detail = read.json();
    assert_eq!(detail["id"], row["id"]);
    assert_eq!(
        json!([
            detail["pending"],
            detail["dead"],
            detail["lost"],
            detail["last_success_at"],
            detail["last_error"],
            detail["failing_since"]
        ]),
        json!([0, 0, 0, null, null, null])
    );
    let change = json!({"url": "https://example.com/other", "events": ["*"]});
    let changed = patch(&world, &path, change).await;
    assert_eq!(changed.status.as_u16(), 200, "{}", changed.text);
    let changed = changed.json();
    assert_eq!(changed["id"], row["id"], "its queue is still its own");
    assert_eq!(changed["url"], "https://example.com/other");
    assert_eq!(changed["events"], json!(["*"]));
    for answer in [&list, &read] {
        assert!(!answer.text.contains(&secret[6..]), "{}", answer.text);
    }
    world.delete(&path).await.is(200, json!({ "id": id }));
    world.get(&path).await.fails(404);
    world.delete(&path).await.fails(404);
    world.get(PATH).await.is(200, json!({ "webhooks": [] }));
}

#[tokio::test]
async fn app_can_create_sixteen_endpoints_besides_configured_ones() {
    let (world, _) = with_configured();
    for n in 0..16 {
        create_endpoint(&world, &format!("{n}"), json!({})).await;
    }
    let many = world.post(PATH, json!({"url": "https://example.com/17"}));
    assert_eq!(many.await.fails(409)["detail"]["most"], 16);
    // A removed endpoint frees its slot.
    let list = world.get(PATH).await.json();
    let rows = list["webhooks"].as_array().unwrap();
    assert_eq!(rows.len(), 17);
    let own = rows.iter().find(|row| row["configured"] == false).unwrap();
    let path = format!("{PATH}/{}", own["id"].as_str().unwrap());
    assert_eq!(world.delete(&path).await.status.as_u16(), 200);
    create_endpoint(&world, "17", json!({})).await;
}

#[tokio::test]
async fn invalid_endpoint_gives_400_with_field() {
    let world = World::new();
    let url = "https://example.com/hook";
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": 7}), "url"),
        (json!({"url": "nothing"}), "url"),
        (json!({"url": "http://example.com/hook"}), "url"),
        (json!({"url": "https://127.0.0.1/hook"}), "url"),
        (
            json!({"url": format!("{url}?{}", "x".repeat(60_000))}),
            "url",
        ),
        (
            json!({"url": format!("{url}?{}", "x".repeat(2_048))}),
            "url",
        ),
        (json!({"url": url, "events": "*"}), "events"),
        (json!({"url": url, "events": []}), "events"),
        (json!({"url": url, "events": ["*", 7]}), "events[1]"),
        (json!({"url": url, "events": ["call.never"]}), "events[0]"),
        (json!({"url": url, "secret": "whsec_short"}), "secret"),
    ] {
        let error = world.post(PATH, body.clone()).await.fails(400);
        assert_eq!(error["detail"]["field"], field, "{body}");
    }
    let id = create_endpoint(&world, "hook", json!({"secret": SECRET})).await;
    let path = format!("{PATH}/{id}");
    for (body, field) in [
        (json!({"url": "https://10.0.0.1/"}), "url"),
        (json!({"events": ["nothing"]}), "events[0]"),
        (json!({"enabled": "yes"}), "enabled"),
    ] {
        let error = patch(&world, &path, body.clone()).await.fails(400);
        assert_eq!(error["detail"]["field"], field, "{body}");
    }
    let taken = world.post(PATH, json!({ "url": url })).await.fails(409);
    assert_eq!(taken["detail"]["id"], id);
    let other = create_endpoint(&world, "other", json!({})).await;
    let path = format!("{PATH}/{other}");
    let taken = patch(&world, &path, json!({ "url": url })).await.fails(409);
    assert_eq!(taken["detail"]["id"], id);
    for n in 2..16 {
        create_endpoint(&world, &format!("{n}"), json!({})).await;
    }
    let many = world.post(PATH, json!({"url": "https://example.com/17"}));
    assert_eq!(many.await.fails(409)["detail"]["most"], 16);
    for path in ["ep_nothing", "ep_", "%2e%2e"] {
        let answer = world.get(&format!("{PATH}/{path}")).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}");
    }
}

#[tokio::test]
async fn foreign_endpoints_give_404() {
    let world = World::new();
    let id = create_endpoint(&world, "hook", json!({})).await;
    let as_other = async |method: &str, path: &str, body| {
        let request = request(OTHER, method, &format!("{PATH}{path}"), body);
        world.send(request).await
    };
    as_other("GET", "", None)
        .await
        .is(200, json!({ "webhooks": [] }));
    for (method, rest) in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("GET", "/deliveries/msg_0123456789abcdef0123456789abcdef"),
        (
            "POST",
            "/deliveries/msg_0123456789abcdef0123456789abcdef/redeliver",
        ),
    ] {
        as_other(method, &format!("/{id}{rest}"), None)
            .await
            .fails(404);
    }
    let since = Some(json!({"since": "2026-05-06T12:00:00Z"}));
    as_other("POST", &format!("/{id}/recover"), since)
        .await
        .fails(404);
    let anybody = request(("demo", "wrong"), "GET", PATH, None);
    world.send(anybody).await.fails(401);
    assert_eq!(
        world.get(&format!("{PATH}/{id}")).await.status.as_u16(),
        200
    );
}

#[tokio::test]
async fn replaced_secret_signs_for_a_day() {
    let world = World::new();
    let id = create_endpoint(&world, "hook", json!({"secret": SECRET})).await;
    let path = format!("{PATH}/{id}/rotate-secret");
    let answer = world.post_empty(&path).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let new = answer.json()["secret"].as_str().unwrap().to_owned();
    let until = answer.json()["replaced_until"].as_str().unwrap().to_owned();
    let hours =
        until.parse::<jiff::Timestamp>().unwrap().as_second() - jiff::Timestamp::now().as_second();
    assert!((23 * 3600..=24 * 3600).contains(&hours), "{hours} s");
    let signatures = |now: Timestamp| {
        let endpoints = world.apps.endpoints();
        let signing = endpoints.get(&endpoint(&id)).unwrap().signing(now);
        roomkeeper::webhook::sign::signatures(&signing, "msg_1", now, "{}")
    };
    let by = |secret: &str, now| {
        let secret: Secret = secret.parse().unwrap();
        roomkeeper::webhook::sign::signatures(&[secret], "msg_1", now, "{}")
    };
    let now = clock::now();
    assert_eq!(
        signatures(now),
        format!("{} {}", by(SECRET, now), by(&new, now))
    );
    let later = now + HOUR * 25;
    assert_eq!(signatures(later), by(&new, later));
    let error = world.post(&path, json!({"secret": "short"})).await;
    assert_eq!(error.fails(400)["detail"]["field"], "secret");
}

#[tokio::test]
async fn configured_endpoint_can_only_be_disabled_and_enabled() {
    let (world, id) = with_configured();
    let path = format!("{PATH}/{id}");
    let row = world.get(PATH).await.json()["webhooks"][0].clone();
    assert_eq!(
        (&row["configured"], &row["created_at"]),
        (&json!(true), &Value::Null)
    );
    patch(&world, &path, json!({"url": "https://example.com/x"}))
        .await
        .fails(409);
    world.delete(&path).await.fails(409);
    world
        .post_empty(&format!("{path}/rotate-secret"))
        .await
        .fails(409);
    let disabled = patch(&world, &path, json!({"enabled": false})).await.json();
    assert_eq!(
        (&disabled["enabled"], &disabled["disabled_reason"]),
        (&json!(false), &json!("owner"))
    );
    let again = patch(&world, &path, json!({"enabled": false})).await.json();
    assert_eq!(again["disabled_at"], disabled["disabled_at"]);
    let test = world.post_empty(&format!("{path}/test")).await.json();
    assert_eq!(test["status"], "dead", "it is kept until it is wanted");
    let since = json!({"since": "2026-05-06T12:00:00Z"});
    let recover = format!("{path}/recover");
    let error = world.post(&recover, since.clone()).await.fails(409);
    assert_eq!(error["detail"]["disabled_reason"], "owner");
    let enabled = patch(&world, &path, json!({"enabled": true})).await.json();
    assert_eq!(enabled["enabled"], true);
    world
        .post(&recover, since)
        .await
        .is(202, json!({"recovered": 1}));
}

#[tokio::test]
async fn deliveries_are_listed_with_attempts_and_sent_again() {
    let world = World::new();
    let id = create_endpoint(&world, "hook?token=t", json!({})).await;
    let path = format!("{PATH}/{id}");
    let sent = world.post_empty(&format!("{path}/test")).await;
    assert_eq!(sent.status.as_u16(), 202, "{}", sent.text);
    let sent = sent.json();
    assert_eq!(sent["status"], "pending");
    let webhook_id = sent["id"].as_str().unwrap();
    let one = format!("{path}/deliveries/{webhook_id}");
    let row = world.get(&one).await.json();
    assert_eq!(
        json!([
            row["event"],
            row["status"],
            row["sequence"],
            row["attempts"]
        ]),
        json!(["webhook.test", "pending", 0, []])
    );
    let body = &row["body"];
    assert_eq!(
        (&body["event"], &body["app_id"]),
        (&json!("webhook.test"), &json!("demo"))
    );
    let data = json!({"endpoint_id": id, "url": "https://example.com/hook"});
    assert_eq!(body["data"], data, "without its token");
    assert_eq!(attempt(&world, DeliveryResult::Dead, 500).await, 1);
    let row = world.get(&one).await.json();
    let attempt_row =
        json!([{"at": "2026-05-06T12:34:56.672025Z", "status": 500, "error": null, "ms": 12}]);
    assert_eq!(
        (&row["status"], &row["attempts"]),
        (&json!("dead"), &attempt_row)
    );
    let detail = world.get(&path).await.json();
    assert_eq!(
        (&detail["dead"], &detail["pending"]),
        (&json!(1), &json!(0))
    );
    assert!(detail["failing_since"].is_string() && detail["last_success_at"].is_null());
    let error = json!({"at": "2026-05-06T12:34:56.672025Z", "status": 500, "error": "the receiver answered 500", "event": "webhook.test"});
    assert_eq!(detail["last_error"], error);
    // The list and the operator's view show it, too.
    let list = world.get(PATH).await.json();
    assert_eq!(list["webhooks"][0]["last_error"], error);
    let path_of_operator = format!("/admin/apps/demo/webhooks/{id}");
    let seen = ask(
        &admin(&world, Some("secret")),
        "GET",
        &path_of_operator,
        None,
    )
    .await;
    assert_eq!(seen.json()["last_error"], error, "{}", seen.text);
    world
        .post_empty(&format!("{one}/redeliver"))
        .await
        .is(202, json!({"id": webhook_id, "status": "pending"}));
    assert_eq!(attempt(&world, DeliveryResult::Delivered, 200).await, 1);
    let list = world.get(&format!("{path}/deliveries")).await.json();
    assert_eq!(list["cursor"], "");
    let row = &list["deliveries"][0];
    assert_eq!(row["status"], "delivered");
    assert_eq!(row["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(row.get("body"), None, "only one by one");
    let detail = world.get(&path).await.json();
    assert!(detail["failing_since"].is_null() && detail["last_success_at"].is_string());
    assert_eq!(detail["last_error"], error, "a success keeps it");
    let unknown = format!("{path}/deliveries/msg_{}", "0".repeat(32));
    world.get(&unknown).await.fails(404);
    world
        .post_empty(&format!("{unknown}/redeliver"))
        .await
        .fails(404);
    world
        .get(&format!("{path}/deliveries/nothing"))
        .await
        .fails(400);
}

#[tokio::test]
async fn deliveries_of_all_nodes_form_one_paged_list() {
    let world = World::new();
    let id = create_endpoint(&world, "hook", json!({})).await;
    let path = format!("{PATH}/{id}/deliveries");
    let template = {
        world.post_empty(&format!("{PATH}/{id}/test")).await;
        let node = node_id(NODES[0]);
        let claims = world
            .store
            .claim_deliveries(node, HOUR, Share::all(1))
            .await
            .unwrap();
        let finish = world
            .store
            .finish_delivery(node, &claims[0], DeliveryResult::Forgotten, None);
        finish.await.unwrap().unwrap();
        claims[0].message.clone()
    };
    for n in 0..12 {
        let mut message = template.clone();
        message.id = format!("msg_{n:032x}");
        let delivery = NewDelivery {
            endpoint: endpoint(&id),
            message,
            held: n % 2 == 0,
        };
        let node = node_id(NODES[n % 3]);
        world.store.enqueue(node, &delivery).await.unwrap();
    }
    let pages = async |filter: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world
                .get(&format!("{path}?limit=5&cursor={cursor}{filter}"))
                .await;
            assert_eq!(page.status.as_u16(), 200, "{}", page.text);
            let page = page.json();
            let rows = page["deliveries"].as_array().unwrap().clone();
            assert!(rows.len() <= 5);
            found.extend(
                rows.iter()
                    .map(|row| row["id"].as_str().unwrap().to_owned()),
            );
            cursor = page["cursor"].as_str().unwrap().to_owned();
            if cursor.is_empty() {
                return found;
            }
        }
    };
    let all = pages("").await;
    let mut sorted = all.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((all.len(), sorted.len()), (12, 12), "{all:?}");
    assert_eq!(pages("&status=dead").await.len(), 6);
    assert_eq!(pages("&status=delivered").await.len(), 0);
    for (query, field) in [
        ("status=lost", "status"),
        ("status=dead&status=dead", "status"),
        ("limit=0", "limit"),
        ("cursor=nothing", "cursor"),
    ] {
        let error = world.get(&format!("{path}?{query}")).await.fails(400);
        assert_eq!(error["detail"]["field"], field, "{query}");
    }
    let recover = format!("{PATH}/{id}/recover");
    let error = world.post(&recover, json!({"since": "yesterday"})).await;
    assert_eq!(error.fails(400)["detail"]["field"], "since");
    let since = json!({"since": "2026-05-06T12:00:00+02:00"});
    world
        .post(&recover, since)
        .await
        .is(202, json!({"recovered": 6}));
    assert_eq!(pages("&status=pending").await.len(), 12);
}

#[tokio::test]
async fn gone_endpoint_is_disabled_and_others_are_notified_once() {
    let world = World::new();
    let gone = create_endpoint(&world, "gone", json!({})).await;
    let notified = create_endpoint(&world, "notified", json!({"events": ["webhook.*"]})).await;
    let not_notified = create_endpoint(&world, "calls", json!({"events": ["call.*"]})).await;
    for _ in 0..2 {
        world.apps.disable_gone(&endpoint(&gone)).await.unwrap();
    }
    let row = world.get(&format!("{PATH}/{gone}")).await.json();
    assert_eq!(
        (&row["enabled"], &row["disabled_reason"]),
        (&json!(false), &json!("gone"))
    );
    let log = |id: &str| format!("{PATH}/{id}/deliveries");
    let rows = world.get(&log(&notified)).await.json();
    assert_eq!(rows["deliveries"].as_array().unwrap().len(), 1, "{rows}");
    let webhook_id = rows["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let one = world
        .get(&format!("{}/{webhook_id}", log(&notified)))
        .await
        .json();
    assert_eq!(one["body"]["event"], "webhook.disabled");
    let data = json!({"endpoint_id": gone, "url": "https://example.com/gone", "reason": "gone"});
    assert_eq!(one["body"]["data"], data);
    for id in [&gone, &not_notified] {
        assert_eq!(world.get(&log(id)).await.json()["deliveries"], json!([]));
    }
    // An unknown endpoint is ignored.
    world.apps.disable_gone(&endpoint("ep_0")).await.unwrap();
}

#[tokio::test]
async fn endpoint_with_success_on_another_node_is_not_failing() {
    let world = World::new();
    let id = create_endpoint(&world, "hook", json!({})).await;
    world.post_empty(&format!("{PATH}/{id}/test")).await;
    assert_eq!(attempt(&world, DeliveryResult::Delivered, 200).await, 1);
    world.apps.disable_failing(&endpoint(&id)).await.unwrap();
    assert_eq!(
        world.get(&format!("{PATH}/{id}")).await.json()["enabled"],
        true
    );
    let never = create_endpoint(&world, "never", json!({})).await;
    world.apps.disable_failing(&endpoint(&never)).await.unwrap();
    let row = world.get(&format!("{PATH}/{never}")).await.json();
    assert_eq!(row["disabled_reason"], "failing");
}

#[tokio::test]
async fn removed_endpoint_loses_its_deliveries() {
    let world = World::new();
    let id = create_endpoint(&world, "hook", json!({})).await;
    world.post_empty(&format!("{PATH}/{id}/test")).await;
    attempt(&world, DeliveryResult::Dead, 500).await;
    world.delete(&format!("{PATH}/{id}")).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(world.apps.clone().run(stop.clone()));
    let left = async || {
        let stored = world.store.read_apps(None).await.unwrap().unwrap();
        stored.endpoints.len()
    };
    let soon = tokio::time::Instant::now() + Duration::from_secs(20);
    while left().await > 0 {
        assert!(
            tokio::time::Instant::now() < soon,
            "its record is still there"
        );
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    let (node, id) = (node_id(NODES[0]), endpoint(&id));
    let store = &world.store;
    let rows = store.list_deliveries(node, &id, DeliveryStatus::Dead, None, 10);
    assert!(rows.await.is_ok_and(|rows| rows.is_empty()));
}

#[tokio::test]
async fn backpressure_refuses_changes_of_app() {
    let world = World::new();
    let id = create_endpoint(&world, "hook", json!({})).await;
    let full = std::collections::BTreeSet::from([app("demo")]);
    world.backpressure.update(node_id(NODES[1]), 0, full);
    let room = json!({"name": "standup"});
    let refused = world.post("/api/v1/conferences", room.clone()).await;
    let error = refused.fails(503);
    assert_eq!(
        error["error"],
        "too many webhooks wait for an endpoint of this app"
    );
    let conference = json!({"type": "conference"});
    world.post("/v1.0/conferences", conference).await.fails(503);
    assert!(world.intents().is_empty());
    assert_eq!(world.get("/api/v1/conferences").await.status.as_u16(), 200);
    let other = request(OTHER, "GET", "/api/v1/sessions", None);
    assert_eq!(world.send(other).await.status.as_u16(), 200);
    // The app must still be able to reduce the queue.
    let path = format!("{PATH}/{id}");
    let answer = patch(&world, &path, json!({"enabled": false})).await;
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn operator_manages_endpoints_of_all_apps() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let path = "/admin/apps/demo/webhooks";
    let url = json!({"url": "https://example.com/hook"});
    let made = ask(&router, "POST", path, Some(url)).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.get(PATH).await.json()["webhooks"][0]["id"], json!(id));
    let sent = ask(&router, "POST", &format!("{path}/{id}/test"), None).await;
    assert_eq!(sent.status.as_u16(), 202);
    let log = ask(&router, "GET", &format!("{path}/{id}/deliveries"), None).await;
    assert_eq!(log.json()["deliveries"][0]["id"], sent.json()["id"]);
    ask(&router, "GET", "/admin/apps/nobody/webhooks", None)
        .await
        .fails(404);
    let elsewhere = format!("/admin/apps/other/webhooks/{id}");
    ask(&router, "GET", &elsewhere, None).await.fails(404);
    let closed = admin(&world, Some("another"));
    ask(&closed, "GET", path, None).await.fails(401);
}
