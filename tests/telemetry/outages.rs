//! The log of an outage: one line when Redis or a node goes down, and one when it is up again.

use serde_json::Value;

use crate::program::poll;
use crate::program::world::{Setup, Store, World};

async fn world() -> World {
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.environment = vec![("ROOMKEEPER_LOG__FORMAT".to_owned(), "json".to_owned())];
    let world = setup.start().await;
    world.controller.until_synced().await;
    world
}

/// The log lines of level info and above, without those of single HTTP requests.
fn lines(world: &World) -> Vec<Value> {
    let text = world.controller.log_about(|line| {
        serde_json::from_str::<Value>(line).is_ok_and(|line| {
            line["level"] != "DEBUG" && line["message"] != "answered an HTTP request"
        })
    });
    let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
    parsed.collect()
}

/// The lines after the first ones that are warnings, or whose message contains this text.
fn lines_about(world: &World, skip: usize, text: &str) -> Vec<Value> {
    let is_about = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] != "INFO" || message.contains(text)
    };
    let lines = lines(world).into_iter().skip(skip);
    lines.filter(is_about).collect()
}

async fn until_line(world: &World, message: &str) {
    poll::until(message, poll::TIMEOUT, async || {
        let found = lines(world).iter().any(|line| line["message"] == message);
        found.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_outage_has_one_line_at_each_end() {
    let mut world = world().await;
    let address = world.redis.as_ref().unwrap().address().to_string();
    let before = lines(&world).len();
    world.redis.as_mut().unwrap().kill();
    // Every task has noticed it several times.
    for caller in ["api", "lease", "webhook"] {
        poll::until("failed calls to the store", poll::TIMEOUT, async || {
            let _answer = world.controller.once("GET", "/conferences", None).await;
            let name = "roomkeeper_store_errors_total";
            let failed = world.controller.metric(name, caller).await;
            (failed >= 3.0).then_some(())
        })
        .await;
    }
    world.redis.as_mut().unwrap().restart().await;
    until_line(&world, "Redis is up again").await;
    world.controller.until_synced().await;

    let found = lines_about(&world, before, "Redis");
    let [down, up] = &found[..] else {
        panic!("not two lines: {found:#?}");
    };
    assert_eq!(down["message"], "Redis is down", "{down}");
    assert_eq!(down["server"], address, "{down}");
    let error = down["error"].as_str().unwrap();
    assert_eq!(error.matches("refused").count(), 1, "{down}");
    assert_eq!(up["message"], "Redis is up again", "{up}");
    assert_eq!(up["server"], address, "{up}");
    assert!(up["down_ms"].is_u64(), "{up}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_redis_has_one_line_at_each_end() {
    let world = world().await;
    let before = lines(&world).len();
    let redis = world.redis.as_ref().unwrap();
    redis.pause().await;
    poll::until("failed calls to the store", poll::TIMEOUT, async || {
        let name = "roomkeeper_store_errors_total";
        let failed = world.controller.metric(name, "lease").await;
        (failed >= 3.0).then_some(())
    })
    .await;
    redis.resume().await;
    until_line(&world, "Redis is up again").await;
    world.controller.until_synced().await;
    let found = lines_about(&world, before, "Redis");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0]["message"], "Redis is down");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_refuses_writes_has_one_line_with_its_error() {
    let world = world().await;
    let before = lines(&world).len();
    let redis = world.redis.as_ref().unwrap();
    redis
        .run(&["CONFIG", "SET", "min-replicas-to-write", "1"])
        .await;
    poll::until("failed calls to the store", poll::TIMEOUT, async || {
        let name = "roomkeeper_store_errors_total";
        let failed = world.controller.metric(name, "lease").await;
        (failed >= 3.0).then_some(())
    })
    .await;
    let found = lines_about(&world, before, "Redis");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["message"], "Redis refuses requests");
    let error = found[0]["error"].as_str().unwrap();
    assert!(error.contains("NOREPLICAS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_redis_has_one_line_with_its_error() {
    let world = world().await;
    let before = lines(&world).len();
    let redis = world.redis.as_ref().unwrap();
    // Its master does not exist, but it is a replica all the same.
    redis.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    poll::until("failed calls to the store", poll::TIMEOUT, async || {
        let _answer = world.controller.once("GET", "/conferences", None).await;
        let name = "roomkeeper_store_errors_total";
        let failed = world.controller.metric(name, "lease").await;
        (failed >= 3.0).then_some(())
    })
    .await;
    let found = lines_about(&world, before, "Redis");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["message"], "Redis refuses requests");
    let error = found[0]["error"].as_str().unwrap();
    assert!(error.contains("ReadOnly"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_outage_has_one_line_at_each_end() {
    let world = world().await;
    let address = world.switch.address().to_string();
    let before = lines(&world).len();
    world.switch.sim().kill();
    // Both connections have been retried several times.
    for connection in ["command", "event"] {
        poll::until("attempts to connect", poll::TIMEOUT, async || {
            let name = "roomkeeper_esl_reconnects_total";
            let label = format!("connection=\"{connection}\"");
            let attempts = world.controller.metric(name, &label).await;
            (attempts >= 3.0).then_some(())
        })
        .await;
    }
    world.switch.sim().restart().await.unwrap();
    until_line(&world, "FreeSWITCH is up again").await;
    world.controller.until_synced().await;

    let found = lines_about(&world, before, "FreeSWITCH");
    let [down, up] = &found[..] else {
        panic!("not two lines: {found:#?}");
    };
    assert_eq!(down["message"], "FreeSWITCH is down", "{down}");
    assert_eq!(down["node.id"], world.node, "{down}");
    assert_eq!(down["address"], address, "{down}");
    assert!(!down["error"].as_str().unwrap().is_empty(), "{down}");
    assert_eq!(up["message"], "FreeSWITCH is up again", "{up}");
    assert!(up["down_ms"].is_u64(), "{up}");
}
