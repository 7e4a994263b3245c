//! The store is not one server: another becomes the master, or the owner of a slot, while the controllers work.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use roomkeeper::store::{EntityId, keys};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::program::poll;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage, settles, told, truth};
use crate::support::redis::{Cluster, Sentinels, until};

rows![
    15 failover_with_the_old_master_alive,
    16 failover_that_loses_the_last_second,
    17 cluster_moves_a_slot,
];

const LOST_ROOMS: &str = "roomkeeper_store_lost_rooms_total";

async fn scene_on(stage: &Stage, url: String) -> Scene {
    let mut setup = Setup::impatient(Store::Memory);
    setup.store_url = Some(url);
    setup.lease_ttl = 4;
    stage.scene(setup).await
}

/// Makes rooms as fast as they are made, and remembers which were acknowledged, until it is told to stop; and how long it
/// was at the most between two answers that they were.
async fn makes_rooms(
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

/// Which of these rooms are not there any more.
async fn missing(scene: &Scene, rooms: &BTreeSet<String>) -> Vec<String> {
    let mut missing = Vec::new();
    for room in rooms {
        let path = format!("/conferences/{room}");
        if scene.world.controller.get(&path).await.status == 404 {
            missing.push(room.clone());
        }
    }
    missing
}

async fn failover_with_the_old_master_alive(stage: &Stage) -> Report {
    let sentinels = Sentinels::start(3).await;
    let scene = scene_on(stage, sentinels.url()).await;
    let (stop, longest) = (CancellationToken::new(), Cell::new(Duration::ZERO));
    let fault = async {
        sentinels.failover().await;
        let begun = Instant::now();
        sentinels.until_replica(0).await;
        // It answers, and takes no writes; the controller has to leave it.
        scene.works().await;
        let recovery = begun.elapsed();
        stop.cancel();
        recovery
    };
    let (rooms, recovery) = tokio::join!(makes_rooms(&scene, &stop, &longest), fault);
    let limit = stage.within(Duration::from_secs(5));
    assert!(
        longest.get() < limit,
        "nothing was made for {:?}",
        longest.get()
    );
    // What it has now is the new master's alone: nothing was written to it by anybody else.
    assert_eq!(sentinels.servers[0].role().await, "slave");
    let lost = missing(&scene, &rooms).await;
    let reported = scene.world.controller.metric(LOST_ROOMS, "").await;
    let of_the_store = |line: &str| {
        ["Redis", "store", "reconciles"]
            .iter()
            .any(|w| line.contains(w))
    };
    assert!(
        lost.len() as f64 <= reported,
        "{} lost, {reported} reported\n{}",
        lost.len(),
        scene.world.controller.log_about(of_the_store)
    );
    // What the old master had told of and the new one never had is told again, so only the states are compared.
    same_state(&scene).await;
    Report {
        fired: "the replica became master, the old one goes on: 1".to_owned(),
        held: format!(
            "nothing made for {:.1?} at most, {} acknowledged rooms there, the loss of {} reported; I1 I2 I5",
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

/// Waits until FreeSWITCH and the API tell the same.
async fn same_state(scene: &Scene) {
    let world = &scene.world;
    poll::until("both tell the same", poll::PATIENCE, async || {
        let real = truth(world).await;
        (real == told(world, &world.controller).await.0).then_some(())
    })
    .await;
}

async fn failover_that_loses_the_last_second(stage: &Stage) -> Report {
    let mut sentinels = Sentinels::start(1).await;
    sentinels.be_patient().await;
    let scene = scene_on(stage, sentinels.url()).await;
    let kept = scene.world.room("kept").await;
    let entity = keys::entity(EntityId::Room(kept.parse().unwrap()));
    until("the replica has it", async || {
        !sentinels.servers[1].keys(&entity).await.is_empty()
    })
    .await;
    // What is acknowledged from now on is on the old master alone.
    sentinels.part().await;
    let alone = scene.world.room("alone").await;
    let caller = scene.world.call("1009").await;
    scene.world.join(&caller, &alone).await;
    let mut lost = BTreeSet::new();
    for _ in 0..stage.pick(5, 50) {
        let name = format!("lost{}", uuid::Uuid::new_v4().simple());
        lost.insert(scene.world.room(&name).await);
    }
    let begun = Instant::now();
    sentinels.servers[0].kill();
    sentinels.name_the_other().await;
    // The room that somebody is in comes back by what FreeSWITCH says of it; of the others it is said that they are gone.
    poll::until(
        "the room with a member is there again",
        poll::REDELIVERY,
        async || {
            let path = format!("/conferences/{alone}");
            let answer = scene.world.controller.once("GET", &path, None).await.ok()?;
            (answer.status == 200 && answer.body["members"] == 1).then_some(())
        },
    )
    .await;
    let recovery = begun.elapsed();
    let missing = missing(&scene, &lost).await;
    assert_eq!(missing.len(), lost.len(), "the fault occurred");
    let reported = scene.world.controller.metric(LOST_ROOMS, "").await;
    assert!(reported >= lost.len() as f64, "{reported} reported");
    let log = scene
        .world
        .controller
        .log_about(|line| line.contains("has lost rooms"));
    for room in &lost {
        assert!(log.contains(room), "{room} is not named");
    }
    let kept = scene
        .world
        .controller
        .get(&format!("/conferences/{kept}"))
        .await;
    assert_eq!(kept.status, 200, "what both had is there");
    scene.works().await;
    same_state(&scene).await;
    Report {
        fired: format!(
            "acknowledged writes that the new master never had: {} rooms",
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

async fn cluster_moves_a_slot(stage: &Stage) -> Report {
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
        let begun = Instant::now();
        scene.works().await;
        let recovery = begun.elapsed();
        stop.cancel();
        (from, recovery)
    };
    let (rooms, (last, recovery)) = tokio::join!(makes_rooms(&scene, &stop, &longest), fault);
    let keys = format!("*{key}*");
    assert!(last != first && !cluster.nodes[last].keys(&keys).await.is_empty());
    assert!(
        cluster.nodes[first].keys(&keys).await.is_empty(),
        "all went"
    );
    let log = scene
        .world
        .controller
        .log_about(|line| line.contains("CROSSSLOT"));
    assert!(log.is_empty(), "{log}");
    let lost = missing(&scene, &rooms).await;
    assert!(lost.is_empty(), "{lost:?}");
    let heard = settles(&scene.world).await;
    Report {
        fired: format!("moves of the node's slot: {moves}"),
        held: format!(
            "no CROSSSLOT, {} rooms made meanwhile are there, nothing made for {:.1?} at most; I1 I3 I4",
            rooms.len(),
            longest.get()
        ),
        recovery: Some(recovery),
        lost: 0,
        resent: heard.resent,
        doubled: heard.doubled.len(),
    }
}
