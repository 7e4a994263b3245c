//! The log as JSON, as a collector reads it from standard error.

use serde_json::{Value, json};

use crate::program::poll;
use crate::program::world::{Setup, Store, World};

/// The lines that satisfy this condition.
fn lines(world: &World, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let text = world
        .controller
        .log_about(|line| serde_json::from_str(line).is_ok_and(|value| wanted(&value)));
    let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
    parsed.collect()
}

async fn line(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    poll::until(what, poll::TIMEOUT, async || lines(world, &wanted).pop()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn json_log_line_is_object_with_fields() {
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.environment = vec![("ROOMKEEPER_LOG__FORMAT".to_owned(), "json".to_owned())];
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    let room = world.room("logged").await;
    let session = world.call("527121100").await;
    world.join(&session, &room).await;

    let merged = line(&world, "a snapshot", |l| {
        l["message"] == "merged a snapshot of the node"
    });
    let merged = merged.await;
    assert_eq!(merged["node.id"], world.node, "{merged}");
    assert_eq!(merged["level"], "INFO");
    assert!(merged["channels"].is_u64(), "{merged}");
    let at = merged["timestamp"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.contains('T'), "{at}");

    let sent = line(&world, "a webhook", |l| l["message"] == "webhook delivered").await;
    assert_eq!(sent["node.id"], world.node, "{sent}");
    assert!(sent["duration_ms"].is_u64(), "{sent}");
    assert!(sent["webhook.id"].is_string() && sent["event"].is_string());

    // The store stops: the outage is one line, and each failed request has its effect and cause at level debug.
    world.redis.as_mut().unwrap().kill();
    let answer = world.controller.once("GET", "/conferences", None).await;
    assert_eq!(answer.unwrap().status, 503);
    let failed = line(&world, "a failed request", |l| {
        l["message"] == "a request failed because the store does not respond"
    });
    let failed = failed.await;
    assert_eq!(failed["level"], "DEBUG", "{failed}");
    let error = failed["error"].as_str().unwrap();
    assert!(error.starts_with("the store is unavailable: "), "{failed}");
    // The line has the id of its request.
    let id = failed["span"]["request.id"].as_str().unwrap();
    assert!(!id.is_empty());
    let answered = line(&world, "the answered request", |l| {
        l["span"]["request.id"] == id && l["message"] == "answered an HTTP request"
    });
    let answered = answered.await;
    assert_eq!(answered["span"]["status"], 503, "{answered}");
    assert!(answered["span"]["duration_ms"].is_u64(), "{answered}");

    let others = world
        .controller
        .log_about(|line| !serde_json::from_str::<Value>(line).is_ok_and(|l| l.is_object()));
    assert_eq!(others, "", "every line is an object");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_id_is_in_log_and_answer() {
    let mut setup = Setup::on(Store::Memory);
    setup.environment = vec![("ROOMKEEPER_LOG__FORMAT".to_owned(), "json".to_owned())];
    let world = setup.start().await;
    world.controller.until_ready().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!(
        "http://127.0.0.1:{}/api/v1/conferences",
        world.controller.http()
    );
    let mut ids = Vec::new();
    for (theirs, kept) in [
        (Some("my-request.1"), true),
        (None, false),
        (Some("no \"id\""), false),
        (Some(&*"x".repeat(65)), false),
    ] {
        let mut request = client.get(&url);
        if let Some(theirs) = theirs {
            request = request.header("X-Request-Id", theirs);
        }
        let answer = request.send().await.unwrap();
        // A rejected caller also gets an id.
        assert_eq!(answer.status(), 401);
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(theirs == Some(id), kept, "{theirs:?} became {id}");
        line(&world, "the line of the request", |l| {
            l["span"]["request.id"] == *id && l["span"]["status"] == json!(401)
        })
        .await;
        ids.push(id.to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "no two are the same");
}
