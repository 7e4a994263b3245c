//! An operator's day on one node: drain it and fill it again, resync it on demand, and list its orphans; rooms are
//! locked throughout.

use serde_json::{Value, json};

use crate::program::controller::{Answer, ApiRequest, KEY};
use crate::program::poll;
use crate::program::world::{Setup, Store, World};

async fn control(world: &World, room: &str, what: &str) -> Answer {
    let path = format!("/conferences/{room}/{what}");
    world.controller.ask("POST", &path, None).await
}

/// Sends the request once: 503 is an answer here.
async fn create(world: &World, name: &str) -> Answer {
    let body = json!({ "name": name }).to_string();
    let sent = world.controller.exactly(ApiRequest {
        method: "POST",
        path: "/conferences",
        app: Some(&world.app),
        key: Some(KEY),
        content_type: Some("application/json"),
        body: Some(body),
        ..ApiRequest::default()
    });
    sent.await.expect("an answer")
}

async fn request_join(world: &World, session: &str, room: &str) -> Answer {
    let path = format!("/sessions/{session}/commands/conference/join");
    let body = json!({ "room_id": room });
    world.controller.ask("POST", &path, Some(&body)).await
}

/// Returns the node's row as the operator sees it.
async fn node(world: &World) -> Value {
    let nodes = world.controller.operator("/admin/nodes").await;
    nodes.expect("an answer").body["nodes"][0].clone()
}

/// Requests a snapshot, and waits until it is merged.
async fn resync(world: &World) {
    let path = format!("/admin/nodes/{}/resync", world.node);
    let answer = world.controller.operate(&path).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let before = answer.body["resynced_at"].clone();
    poll::until("a later snapshot is merged", poll::TIMEOUT, async || {
        (node(world).await["resynced_at"] != before).then_some(())
    })
    .await;
}

async fn drain(world: &World, what: &str, draining: bool) {
    let path = format!("/admin/nodes/{}/{what}", world.node);
    let answer = world.controller.operate(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body, json!({"id": world.node, "draining": draining}));
    assert_eq!(node(world).await["draining"], draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_outlives_the_program_the_last_member_and_the_conference() {
    let mut world = Setup::with_short_timeouts(Store::DurableRedis)
        .start()
        .await;
    world.controller.until_synced().await;
    let (inside, outside) = (world.call("527121100").await, world.call("527121101").await);
    let room = world.room("locked").await;
    world.join(&inside, &room).await;
    let locking = control(&world, &room, "lock").await;
    assert_eq!(
        (locking.status, &locking.body),
        (202, &json!({"status": "in_progress"}))
    );
    let webhook = world.receiver.first(&room, "conference.updated").await;
    assert_eq!(webhook.body["data"], json!({"locked": true}));
    assert_eq!(request_join(&world, &outside, &room).await.status, 409);

    world.kill_and_start_again();
    world.controller.until_synced().await;
    assert_eq!(request_join(&world, &outside, &room).await.status, 409);
    let kicked = control(&world, &room, &format!("members/{inside}/kick")).await;
    assert_eq!(kicked.status, 202, "{}", kicked.body);
    let left = world.receiver.first(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "removed");
    let session = format!("/sessions/{inside}");
    poll::until("the call is parked", poll::TIMEOUT, async || {
        (world.controller.get(&session).await.body["state"] == "parked").then_some(())
    })
    .await;
    let shown = world.controller.get(&format!("/conferences/{room}")).await;
    assert_eq!(
        (&shown.body["members"], &shown.body["locked"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(request_join(&world, &inside, &room).await.status, 409);

    // FreeSWITCH may not have ended the conference yet, and then gets the command.
    poll::until("the room is unlocked", poll::TIMEOUT, async || {
        let unlocked = control(&world, &room, "unlock").await;
        (unlocked.status == 202 && unlocked.body == json!({"status": "unlocked"})).then_some(())
    })
    .await;
    world.join(&outside, &room).await;
    let shown = world.controller.get(&format!("/conferences/{room}")).await;
    assert_eq!(shown.body.get("locked"), None);
    world.receiver.check_sequences();
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_node_keeps_its_rooms_also_after_a_restart() {
    let mut world = Setup::with_short_timeouts(Store::DurableRedis)
        .start()
        .await;
    world.controller.until_synced().await;
    let call = world.call("527121100").await;
    let room = world.room("before").await;
    drain(&world, "drain", true).await;
    // No other node exists, and this one takes no new room.
    assert_eq!(create(&world, "nowhere").await.status, 503);
    for body in [
        json!({"name": "here", "node": world.node}),
        json!({"name": "here", "session": call}),
    ] {
        let refused = world
            .controller
            .ask("POST", "/conferences", Some(&body))
            .await;
        assert_eq!(refused.status, 409, "{}", refused.body);
        assert_eq!(refused.body["detail"], json!({"node": world.node}));
    }
    world.kill_and_start_again();
    world.controller.until_synced().await;
    poll::until("the node is still drained", poll::TIMEOUT, async || {
        (node(&world).await["draining"] == true).then_some(())
    })
    .await;
    world.join(&call, &room).await;
    let seen = world.controller.get("/nodes").await;
    assert_eq!(seen.body["nodes"][0]["draining"], true, "{}", seen.body);
    drain(&world, "undrain", false).await;
    assert_eq!(create(&world, "again").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn requested_snapshot_reveals_unreported_changes() {
    let world = Setup::on(Store::Memory).start().await;
    world.controller.until_synced().await;
    let call = world.call("527121100").await;
    let room = world.room("unheard").await;
    world.join(&call, &room).await;
    let sim = world.switch.sim();
    let foreign = sim.call_in("99", "527121101", &[]);
    sim.lose_events_about(Some(&room));
    let reply = world.fs(&format!("conference {room} lock")).await;
    assert!(reply.contains("locked"), "{reply}");
    sim.lose_events_about(None);
    resync(&world).await;
    let webhook = world.receiver.first(&room, "conference.updated").await;
    assert_eq!(
        webhook.body["data"],
        json!({"locked": true, "synthesized": true})
    );
    let row = poll::until("the call of no app is listed", poll::TIMEOUT, async || {
        let answer = world.controller.operator("/admin/orphans").await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let node = answer.body["nodes"][0].clone();
        (node["calls_total"] == 1).then_some(node)
    })
    .await;
    assert_eq!(row["id"], world.node.as_str());
    assert_eq!(row["calls"][0]["uuid"], world.call_id(&foreign));
    assert_eq!(row["calls"][0]["did"], "99");
    assert_eq!(row["conferences"], json!([]));
    let lag = node(&world).await["lag_ms"].as_u64();
    assert!(lag.is_some_and(|ms| ms < 60_000), "{lag:?}");
}
