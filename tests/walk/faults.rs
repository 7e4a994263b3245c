//! The cost to a caller of faults between controller and node, except those in the faults suite.
//!
//! Each test asserts that its fault did occur, then its consequences.

use std::time::Duration;

use serde_json::json;

use crate::program::poll;
use crate::program::switch::DID;
use crate::program::world::{PASSWORD, Setup, Store};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_reported_and_rarely_retried() {
    let mut setup = Setup::on(Store::Memory);
    setup.password = "not the password".to_owned();
    let world = setup.start().await;
    // The first connection has failed, so the controller is ready.
    let ready = world.controller.until_ready().await;
    assert_eq!(ready["nodes"][0]["link"], "down");
    let sim = world.switch.sim();
    assert!(sim.faults().core.refused >= 1, "no password was refused");
    let nodes = world
        .controller
        .operator("/admin/nodes")
        .await
        .unwrap()
        .body;
    let node = &nodes["nodes"][0];
    let reason = node["reason"].as_str().unwrap();
    assert!(reason.contains("refuses the password"), "{reason}");
    assert!(!reason.contains("not the password"), "no secret: {reason}");
    let wait = node["retry_after_ms"].as_u64().unwrap();
    assert!((10_000..=30_000).contains(&wait), "{wait} ms");
    // Both connections have been refused by now, or will be once.
    poll::stays(
        "the password is not tried again",
        Duration::from_secs(2),
        async || sim.faults().core.refused <= 2,
    )
    .await;
    let answer = world
        .controller
        .once("POST", "/conferences", Some(&json!({ "name": "nowhere" })))
        .await
        .unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.retry_after.is_some_and(|s| s >= 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn call_arriving_while_the_node_is_disconnected_is_reported() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let sim = world.switch.sim();
    let cut = sim.drop_connections(false);
    assert!(cut >= 2);
    let session = world.call_id(&sim.call_in(DID, "1009", &[]));
    let webhook = world.receiver.first(&session, "call.new").await;
    assert_eq!(webhook.body["data"]["caller_id"], "1009");
    assert!(sim.faults().cut >= 2);
    world.switch.until_members(PASSWORD, "nothing", &[]).await;
    world.receiver.check_sequences();
}
