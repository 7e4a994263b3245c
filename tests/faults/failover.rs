//! Failovers and slot migrations of the store while controllers use it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use roomkeeper::store::{EntityId, keys};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::program::poll;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage, api_view, freeswitch_view, until_consistent};
use crate::support::redis::{Cluster, Sentinels, until};

rows![
    15 failover_while_old_master_is_alive,
    16 failover_loses_last_writes,
    17 cluster_migrates_slot,
];

const LOST_ROOMS: &str = "roomkeeper_store_lost_rooms_total";

async fn scene_on(stage: &Stage, url: String) -> Scene {
    let mut setup = Setup::with_short_timeouts(Store::Memory);
    setup.store_url = Some(url);
    setup.lease_ttl = 4;
    stage.scene(setup).await
}

/// Creates rooms one after the other until `stop`. Returns the acknowledged ones and records the longest time between
/// two successful answers.
async fn create_rooms(
    scene: &Scene,
    stop: &CancellationToken,
    longest: &Cell<Duration>,
) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let mut last = Instant::now();
    while !stop.is_cancelled() {
        let body = json!({ "name": format!("load{}", uuid::Uuid::new_v4().simple()) });
        let controller = &scene.world.controller;
        let made = controller.once("POST", "/conferences", Some(&body)).await;
        let made = made.unwrap();
        if made.status == 201 {
            rooms.insert(made.body["room_id"].as_str().unwrap().to_owned());
            longest.set(longest.get().max(last.elapsed()));
            last = Instant::now();
        } else {
            assert_eq!(made.status, 503, "{}", made.body);
            assert!(made.retry_after.is_some_and(|s| s >= 1));
        }
    }
    longest.set(longest.get().max(last.elapsed()));
    rooms
}

/// Returns the rooms that no longer exist.
async fn find_missing(scene: &Scene, rooms: &BTreeSet<String>) -> Vec<String> {
    let mut missing = Vec::new();
    for room in rooms {
        let path = format!("/conferences/{room}");
        if scene.world.controller.get(&path).await.status == 404 {
            missing.push(room.clone());
        }
    }
    missing
}

async fn failover_while_old_master_is_alive(stage: &Stage) -> Report {
    let sentinels = Sentinels::start(3).await;
    let scene = scene_on(stage, sentinels.url()).await;
    let (stop, longest) = (CancellationToken::new(), Cell::new(Duration::ZERO));
    let fault = async {
        sentinels.failover().await;
        let start = Instant::now();
        sentinels.until_replica(0).await;
        // The old master answers and refuses writes, so the controller must disconnect from it.
        scene.check_commands_and_webhooks().await;
        let recovery = start.elapsed();
        stop.cancel();
        recovery
    };
    let (rooms, recovery) = tokio::join!(create_rooms(&scene, &stop, &longest), fault);
    let limit = stage.within(Duration::from_secs(5));
    assert!(
        longest.get() < limit,
        "no room was created for {:?}",
        longest.get()
    );
    // The old master is a replica, so its data is a copy of the new master's.
    assert_eq!(sentinels.servers[0].role().await, "slave");
    let lost = find_missing(&scene, &rooms).await;
    let reported = scene.world.controller.metric(LOST_ROOMS, "").await;
    let is_about_store = |line: &str| {
        ["Redis", "store", "reconciles"]
            .iter()
            .any(|w| line.contains(w))
    };
    assert!(
        lost.len() as f64 <= reported,
        "{} lost, {reported} reported\n{}",
        lost.len(),
        scene.world.controller.log_about(is_about_store)
    );
    // The new master may lack changes that webhooks have reported. They are reported again, so only the states are
    // compared.
    until_same_state(&scene).await;
    Report {
        fired: "replica promoted while the old master runs: 1".to_owned(),
        held: format!(
            "no room created for {:.1?} at most, {} acknowledged rooms exist, the loss of {} reported; I1 I2 I5",
            longest.get(),
            rooms.len() - lost.len(),
            lost.len()
        ),
        recovery: Some(recovery),
        lost: lost.len(),
        resent: 0,
        doubled: 0,
    }
}

/// Waits until FreeSWITCH and the API agree.
async fn until_same_state(scene: &Scene) {
    let world = &scene.world;
    poll::until("FreeSWITCH and the API agree", poll::TIMEOUT, async || {
        let real = freeswitch_view(world).await;
        (real == api_view(world, &world.controller).await.0).then_some(())
    })
    .await;
}

async fn failover_loses_last_writes(stage: &Stage) -> Report {
    let mut sentinels = Sentinels::start(1).await;
    sentinels.disable_failure_detection().await;
    let scene = scene_on(stage, sentinels.url()).await;
    let kept = scene.world.room("kept").await;
    let entity = keys::entity(EntityId::Room(kept.parse().unwrap()));
    until("the replica has it", async || {
        !sentinels.servers[1].keys(&entity).await.is_empty()
    })
    .await;
    // From now on, acknowledged writes are only on the old master.
    sentinels.detach_replica().await;
    let alone = scene.world.room("alone").await;
    let caller = scene.world.call("1009").await;
    scene.world.join(&caller, &alone).await;
    let mut lost = BTreeSet::new();
    for _ in 0..stage.pick(5, 50) {
        let name = format!("lost{}", uuid::Uuid::new_v4().simple());
        lost.insert(scene.world.room(&name).await);
    }
    let start = Instant::now();
    sentinels.servers[0].kill();
    sentinels.promote_replica().await;
    // The room with a member is rebuilt from FreeSWITCH's state. The loss of the others is reported.
    poll::until(
        "the room with a member exists again",
        poll::REDELIVERY,
        async || {
            let path = format!("/conferences/{alone}");
            let answer = scene.world.controller.once("GET", &path, None).await.ok()?;
            (answer.status == 200 && answer.body["members"] == 1).then_some(())
        },
    )
    .await;
    let recovery = start.elapsed();
    let missing = find_missing(&scene, &lost).await;
    assert_eq!(
        missing.len(),
        lost.len(),
        "every room of the old master alone is lost"
    );
    let reported = scene.world.controller.metric(LOST_ROOMS, "").await;
    assert!(reported >= lost.len() as f64, "{reported} reported");
    let log = scene
        .world
        .controller
        .log_about(|line| line.contains("has lost rooms"));
    for room in &lost {
        assert!(log.contains(room), "the log lacks {room}");
    }
    let kept = scene
        .world
        .controller
        .get(&format!("/conferences/{kept}"))
        .await;
    assert_eq!(kept.status, 200, "the replicated room exists");
    scene.check_commands_and_webhooks().await;
    until_same_state(&scene).await;
    Report {
        fired: format!(
            "acknowledged writes that the new master lacks: {} rooms",
            lost.len() + 1
        ),
        held: "the room with a member rebuilt, the loss of each empty one reported; I1 I2"
            .to_owned(),
        recovery: Some(recovery),
        lost: lost.len(),
        resent: 0,
        doubled: 0,
    }
}

async fn cluster_migrates_slot(stage: &Stage) -> Report {
    let cluster = Cluster::start().await;
    let scene = scene_on(stage, cluster.url()).await;
    let (stop, longest) = (CancellationToken::new(), Cell::new(Duration::ZERO));
    let key = format!("{{{}}}", scene.world.node);
    let (slot, first) = cluster.slot(&key).await;
    let moves = stage.pick(2, 10);
    let fault = async {
        let mut from = first;
        for _ in 0..moves {
            let to = (from + 1) % cluster.nodes.len();
            cluster.move_slot(slot, from, to).await;
            from = to;
        }
        let start = Instant::now();
        scene.check_commands_and_webhooks().await;
        let recovery = start.elapsed();
        stop.cancel();
        (from, recovery)
    };
    let (rooms, (last, recovery)) = tokio::join!(create_rooms(&scene, &stop, &longest), fault);
    let keys = format!("*{key}*");
    assert!(last != first && !cluster.nodes[last].keys(&keys).await.is_empty());
    assert!(
        cluster.nodes[first].keys(&keys).await.is_empty(),
        "the old owner still has keys"
    );
    let log = scene
        .world
        .controller
        .log_about(|line| line.contains("CROSSSLOT"));
    assert!(log.is_empty(), "{log}");
    let lost = find_missing(&scene, &rooms).await;
    assert!(lost.is_empty(), "{lost:?}");
    let webhooks = until_consistent(&scene.world).await;
    Report {
        fired: format!("migrations of the node's slot: {moves}"),
        held: format!(
            "no CROSSSLOT, {} rooms created meanwhile exist, no room created for {:.1?} at most; I1 I3 I4",
            rooms.len(),
            longest.get()
        ),
        recovery: Some(recovery),
        lost: 0,
        resent: webhooks.resent,
        doubled: webhooks.doubled.len(),
    }
}
