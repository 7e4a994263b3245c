//! Faults of Redis: it dies, loses its data, or hangs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use freeswitch_sim::SimNode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::program::poll::{self, TIMEOUT};
use crate::program::switch::Switch;
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Form, Scene, Stage, api_view, freeswitch_view, until_consistent};

rows![
    12 redis_killed_and_restarted,
    13 redis_wiped,
    14 redis_stopped,
    32 outbox_deleted_or_corrupted,
];

/// Acknowledged changes by room id: `true` for created, `false` for deleted.
#[derive(Default)]
struct Acknowledged {
    rooms: RefCell<BTreeMap<String, bool>>,
    refused: RefCell<usize>,
}

/// Creates rooms and deletes every second one, sequentially. Records the acknowledged changes.
async fn create_and_delete(scene: &Scene, acknowledged: &Acknowledged, stop: &CancellationToken) {
    let controller = &scene.world.controller;
    let mut n = 0;
    while !stop.is_cancelled() {
        n += 1;
        let body = json!({ "name": format!("load{}", uuid::Uuid::new_v4().simple()) });
        let made = controller
            .once("POST", "/conferences", Some(&body))
            .await
            .unwrap();
        if made.status != 201 {
            // The result is unknown, so the room is not recorded.
            assert_eq!(made.status, 503, "{}", made.body);
            assert!(
                made.retry_after.is_some_and(|s| s >= 1),
                "503 has Retry-After"
            );
            *acknowledged.refused.borrow_mut() += 1;
            continue;
        }
        let id = made.body["room_id"].as_str().unwrap().to_owned();
        acknowledged.rooms.borrow_mut().insert(id.clone(), true);
        if n % 2 == 0 {
            let path = format!("/conferences/{id}");
            let deleted = controller.once("DELETE", &path, None).await.unwrap();
            let mut rooms = acknowledged.rooms.borrow_mut();
            match deleted.status {
                200 => drop(rooms.insert(id, false)),
                // The result is unknown.
                503 => drop(rooms.remove(&id)),
                other => panic!("{other} {}", deleted.body),
            }
        }
    }
}

/// Checks I2. Returns the number of acknowledged rooms.
async fn check_acknowledged(scene: &Scene, acknowledged: &Acknowledged) -> usize {
    let rooms = acknowledged.rooms.borrow().clone();
    for (room, lives) in &rooms {
        let answer = scene
            .world
            .controller
            .get(&format!("/conferences/{room}"))
            .await;
        let expected = if *lives { 200 } else { 404 };
        assert_eq!(answer.status, expected, "{room}: {}", answer.body);
    }
    rooms.len()
}

/// The metrics that report the faults.
const MISSING: &str = "roomkeeper_webhook_outbox_missing_total";
const UNREADABLE: &str = "roomkeeper_webhook_outbox_unreadable_total";

async fn outbox_deleted_or_corrupted(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let node = &scene.world.node;
    let redis = scene.world.redis.as_ref().unwrap();
    let controller = &scene.world.controller;
    let (outbox, cursor) = (
        format!("rk1:{{{node}}}:outbox"),
        format!("rk1:{{{node}}}:cursor"),
    );
    let until_fanned_out = async || {
        poll::until("the outbox is empty", TIMEOUT, async || {
            let depth = controller
                .metric("roomkeeper_webhook_outbox_depth", "")
                .await;
            (depth == 0.0).then_some(())
        })
        .await;
    };
    // Each fault with its command, its metric and the expected increase. The first deletes an empty outbox.
    let faults: [(&str, Vec<&str>, &str, f64); 5] = [
        ("deleted", vec!["DEL", &outbox], MISSING, 0.0),
        (
            "deleted with three waiting messages",
            vec![
                "EVAL",
                "redis.call('DECRBY', KEYS[2], 3) return redis.call('DEL', KEYS[1])",
                "2",
                &outbox,
                &cursor,
            ],
            MISSING,
            3.0,
        ),
        (
            "a foreign entry",
            vec!["XADD", &outbox, "0-*", "some", "thing"],
            UNREADABLE,
            1.0,
        ),
        (
            "a foreign entry with a generated id",
            vec!["XADD", &outbox, "*", "some", "thing"],
            UNREADABLE,
            1.0,
        ),
        (
            "a list in its place",
            vec![
                "EVAL",
                "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], 'some', 'thing')",
                "1",
                &outbox,
            ],
            UNREADABLE,
            1.0,
        ),
    ];
    let mut slowest = Duration::ZERO;
    for (fault, fault_command, metric, count) in &faults {
        until_fanned_out().await;
        let before = controller.metric(metric, "").await;
        redis.run(fault_command).await;
        let start = Instant::now();
        poll::until(&format!("{fault} is reported"), TIMEOUT, async || {
            let now = controller.metric(metric, "").await;
            (now - before >= *count).then_some(())
        })
        .await;
        slowest = slowest.max(start.elapsed());
        // Later changes are reported.
        for (command, event) in [
            ("unmute", "conference.member.unmuted"),
            ("mute", "conference.member.muted"),
        ] {
            scene
                .time_until(event, async || scene.change_member(command).await)
                .await;
        }
        let now = controller.metric(metric, "").await;
        assert_eq!(now - before, *count, "{fault} is counted once");
    }
    let limit = stage.within(Duration::from_secs(1));
    assert!(slowest < limit, "reported after {slowest:?}");
    let orphans = controller.operator("/admin/orphans").await.unwrap().body;
    let record = &orphans["nodes"][0]["records"][0];
    let why = record["why"].as_str().unwrap_or_default();
    assert_eq!(record["key"], *outbox, "{orphans}");
    assert!(why.contains("3 missing, 3 unreadable"), "{why}");
    let ready = controller.operator("/readyz").await.unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
    scene
        .report(
            format!("{} faults of the outbox", faults.len()),
            "each counted once; all later changes reported; I3",
            Some(slowest),
        )
        .await
}

async fn redis_killed_and_restarted(stage: &Stage) -> Report {
    let mut scene = stage
        .scene(Setup::with_short_timeouts(Store::DurableRedis))
        .await;
    let acknowledged = Acknowledged::default();
    let times = stage.pick(2, 8);
    let mut slowest = Duration::ZERO;
    let mut unmute = true;
    for _ in 0..times {
        let mut redis = scene.world.redis.take().unwrap();
        let stop = CancellationToken::new();
        let kill = async {
            let before = acknowledged.rooms.borrow().len();
            poll::until("more rooms exist", TIMEOUT, async || {
                (acknowledged.rooms.borrow().len() >= before + 5).then_some(())
            })
            .await;
            redis.kill();
            poll::until("callers are refused", TIMEOUT, async || {
                (*acknowledged.refused.borrow() > 0).then_some(())
            })
            .await;
            let ready = scene.world.controller.operator("/readyz").await.unwrap();
            assert_eq!(ready.status, 503, "{}", ready.body);
            let alive = scene.world.controller.operator("/healthz").await.unwrap();
            assert_eq!(alive.status, 200);
            // FreeSWITCH continues meanwhile.
            let (command, event) = if unmute {
                ("unmute", "conference.member.unmuted")
            } else {
                ("mute", "conference.member.muted")
            };
            let before = scene.count(event);
            scene.change_member(command).await;
            redis.restart().await;
            let start = Instant::now();
            scene.world.controller.until_ready().await;
            slowest = slowest.max(start.elapsed());
            scene
                .world
                .receiver
                .nth(&scene.room, event, before + 1)
                .await;
            stop.cancel();
        };
        tokio::join!(create_and_delete(&scene, &acknowledged, &stop), kill);
        unmute = !unmute;
        scene.world.redis = Some(redis);
    }
    assert!(
        slowest < stage.within(Duration::from_secs(1)),
        "ready after {slowest:?}"
    );
    let survived = check_acknowledged(&scene, &acknowledged).await;
    let refused = *acknowledged.refused.borrow();
    scene
        .report(
            format!("kills under load: {times}, callers refused: {refused}"),
            format!("ready in time, {survived} acknowledged rooms unchanged; I1 I2 I3"),
            Some(slowest),
        )
        .await
}

async fn redis_stopped(stage: &Stage) -> Report {
    let scene = stage
        .scene(Setup::with_short_timeouts(Store::DurableRedis))
        .await;
    let controller = &scene.world.controller;
    let span = Duration::from_secs(stage.pick(3, 10));
    let redis = scene.world.redis.as_ref().unwrap();
    redis.pause().await;
    let start = Instant::now();
    let unmute = format!("/sessions/{}/commands/conference/unmute", scene.call);
    let room = format!("/conferences/{}", scene.room);
    let (mut names, mut refused, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    while start.elapsed() < span {
        let name = format!("lost{}", names.len());
        let make = json!({ "name": name });
        names.push(name);
        let nothing = json!({});
        for (method, path, body) in [
            ("POST", "/conferences", Some(&make)),
            ("GET", room.as_str(), None),
            ("POST", unmute.as_str(), Some(&nothing)),
        ] {
            let answer = controller.once(method, path, body).await.unwrap();
            assert_eq!(answer.status, 503, "{method} {path}: {}", answer.body);
            assert!(
                answer.retry_after.is_some_and(|s| s >= 1),
                "{method} {path}"
            );
            slowest = slowest.max(answer.took);
            refused += 1;
        }
    }
    assert!(
        slowest < stage.within(Duration::from_secs(5)),
        "{slowest:?}"
    );
    let ready = controller.operator("/readyz").await.unwrap();
    assert_eq!(ready.status, 503, "{}", ready.body);
    scene.hang_up(&scene.parked).await;
    redis.resume().await;
    let start = Instant::now();
    controller.until_ready().await;
    let recovery = start.elapsed();
    assert!(
        recovery < stage.within(Duration::from_secs(1)),
        "{recovery:?}"
    );
    scene
        .world
        .receiver
        .first(&scene.parked, "call.hangup")
        .await;
    let reported = start.elapsed();
    assert!(
        reported < stage.within(Duration::from_secs(5)),
        "reported after {reported:?}"
    );
    // After a 503, the name may be reserved. It is free now or becomes free later, and at most one room has it.
    if stage.form == Form::Long {
        for name in &names {
            let body = json!({ "name": name });
            poll::until(
                "the name is free or used by its room",
                poll::REDELIVERY,
                async || {
                    let answer = controller
                        .once("POST", "/conferences", Some(&body))
                        .await
                        .unwrap();
                    assert!(matches!(answer.status, 201 | 409 | 503), "{}", answer.body);
                    (answer.status != 503).then_some(())
                },
            )
            .await;
        }
    }
    until_consistent(&scene.world).await;
    for name in &names {
        let made = scene.world.receiver.all();
        let mut made: Vec<String> = made
            .into_iter()
            .filter(|webhook| {
                webhook.event() == "conference.created" && webhook.body["data"]["name"] == **name
            })
            .map(|webhook| webhook.id)
            .collect();
        made.dedup();
        assert!(
            made.len() <= 1,
            "{name} was created more than once: {made:?}"
        );
    }
    assert!(
        scene.count("conference.member.unmuted") <= 1,
        "unmuted more than once"
    );
    scene
        .report(
            format!("stopped for {span:?}, {refused} requests meanwhile"),
            format!("503 with Retry-After within {slowest:.1?}, nothing done twice; I1 I3"),
            Some(recovery),
        )
        .await
}

/// Wipes the store while a call joins: the conference exists, and the event of its creation was lost.
async fn wipe_during_join(scene: &Scene, sim: &SimNode) {
    let world = &scene.world;
    let call = world.call("1004").await;
    let room = world.room("joining").await;
    let dropped = sim.faults().core.dropped;
    sim.lose_events_about(Some(&room));
    let muted = json!({ "room_id": room, "muted": false });
    let answer = world.command(&call, "conference/join", &muted).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    poll::until("the call is in the conference", TIMEOUT, async || {
        let snapshot = sim.snapshot();
        (snapshot.room(&room)?.members.len() == 1).then_some(())
    })
    .await;
    let redis = world.redis.as_ref().unwrap();
    assert_eq!(
        redis.send_inline("FLUSHALL").as_deref(),
        Some("+OK"),
        "it is wiped"
    );
    assert!(sim.faults().core.dropped > dropped, "no event was lost");
    sim.lose_events_about(None);
    for (path, expected) in [
        (format!("/conferences/{room}"), ("members", json!(1))),
        (format!("/sessions/{call}"), ("uuid", json!(call.as_str()))),
    ] {
        poll::until(&format!("{path} exists again"), TIMEOUT, async || {
            let answer = world.controller.once("GET", &path, None).await.unwrap();
            (answer.status == 200 && answer.body[expected.0] == expected.1).then_some(())
        })
        .await;
    }
}

async fn redis_wiped(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let world = &scene.world;
    let times = stage.pick(1, 5);
    let mut slowest = Duration::ZERO;
    let mut lost = 0;
    for n in 1..=times {
        let empty = world.room("empty").await;
        let redis = world.redis.as_ref().unwrap();
        assert_eq!(
            redis.send_inline("FLUSHALL").as_deref(),
            Some("+OK"),
            "it is wiped"
        );
        let start = Instant::now();

        // The room's conference has its registration, FreeSWITCH lists its members, and the parked call is parked.
        let room = format!("/conferences/{}", scene.room);
        poll::until("the room exists again", TIMEOUT, async || {
            let answer = world.controller.once("GET", &room, None).await.unwrap();
            (answer.status == 200 && answer.body["members"] == 2).then_some(())
        })
        .await;
        poll::until("the parked call exists again", TIMEOUT, async || {
            let path = format!("/sessions/{}", scene.parked);
            let answer = world.controller.once("GET", &path, None).await.unwrap();
            (answer.status == 200 && answer.body["state"] == "parked").then_some(())
        })
        .await;
        for nth in [2 * n + 1, 2 * n + 2] {
            let joined = world
                .receiver
                .nth(&scene.room, "conference.member.joined", nth)
                .await;
            assert!(joined.synthesized(), "{}", joined.body);
        }
        let new = world.receiver.nth(&scene.parked, "call.new", n + 1).await;
        assert!(new.synthesized(), "{}", new.body);
        slowest = slowest.max(start.elapsed());
        // FreeSWITCH does not know an empty room, so it is lost.
        let answer = world.controller.get(&format!("/conferences/{empty}")).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
        lost += 1;
    }
    if let Switch::Sim(sim) = &world.switch {
        wipe_during_join(&scene, sim).await;
    }
    let reported = "roomkeeper_store_lost_rooms_total";
    let reported = world.controller.metric(reported, "").await;
    assert!(reported >= lost as f64, "{reported} reported");
    let (real, api) = (
        freeswitch_view(world).await,
        api_view(world, &world.controller).await.0,
    );
    assert_eq!(real, api);
    scene.check_commands_and_webhooks().await;
    Report {
        fired: format!("wiped: {times}"),
        held: "rooms with members and calls rebuilt and reported again, the loss of empty ones reported; I1 I2"
            .to_owned(),
        recovery: Some(slowest),
        lost,
        resent: 0,
        doubled: 0,
    }
}
