//! Stored data beyond its quota, or not written by the controller.

use std::time::{Duration, Instant};

use roomkeeper::store::deliveries::DeliveryStatus;
use roomkeeper::store::{EntityId, EntityKind, ListOf, Scope, ViewKind, keys};
use roomkeeper_core::ids::{AppId, CallId, EndpointId, NodeId, RoomId};
use serde_json::{Value, json};

use crate::program::controller::{Answer, ApiRequest};
use crate::program::poll::{self, TIMEOUT};
use crate::program::world::{Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage};
use crate::support::process;
use crate::support::redis::RedisServer;

rows![
    31 app_writes_beyond_its_quota,
    33 stored_value_has_wrong_type,
];

const GREEDY: (&str, &str) = ("greedy", "greedy-key");

async fn request_as_greedy(
    scene: &Scene,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let request = ApiRequest {
        method,
        path,
        app: Some(GREEDY.0),
        key: Some(GREEDY.1),
        content_type: body.map(|_| "application/json"),
        body: body.map(Value::to_string),
        ..ApiRequest::default()
    };
    scene.world.controller.exactly(request).await.unwrap()
}

async fn used_memory(redis: &RedisServer) -> u64 {
    let info: String = redis.query(&["INFO", "memory"]).await.unwrap();
    let line = info.lines().find_map(|l| l.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

/// A conference with about 140 KB of data and actions.
fn large_conference(letter: &str) -> Value {
    let text = letter.repeat(2_000);
    let actions: Vec<Value> = (0..30)
        .map(|n| json!({ "type": "play", "option": { "stream_urls": [format!("http://127.0.0.1/{n}/{}.wav", &text[..1_900])] } }))
        .collect();
    json!({
        "type": "conference",
        "data": { "text": letter.repeat(16_000) },
        "pre_actions": actions,
        "post_actions": actions,
    })
}

/// A port without a listener.
fn closed_port() -> u16 {
    process::free_port()
}

async fn app_writes_beyond_its_quota(stage: &Stage) -> Report {
    const QUOTA: u64 = 16 << 20;
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.more_apps = vec![(GREEDY.0.to_owned(), GREEDY.1.to_owned())];
    let mut scene = stage.scene(setup).await;
    let limited = scene.world.replica(
        |config| {
            config
                .replace("[limits]\n", &format!("[limits]\napp_bytes = {QUOTA}\n"))
                .replace("[conference]\n", "[conference]\nkeep_ended = 4\n")
        },
        Vec::new(),
    );
    let mut old = std::mem::replace(&mut scene.world.controller, limited);
    old.terminate();
    old.ended(TIMEOUT).await;
    scene.world.controller.until_synced().await;
    scene.check_commands_and_webhooks().await;

    // A receiver that is down.
    let hook =
        json!({ "url": format!("http://127.0.0.1:{}/hook", closed_port()), "events": ["*"] });
    let made = request_as_greedy(&scene, "POST", "/webhooks", Some(&hook)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let hook = made.body["id"].as_str().unwrap().to_owned();
    let redis = scene.world.redis.as_ref().unwrap();
    let before = used_memory(redis).await;

    let large = large_conference("x");
    let mut update = large_conference("y");
    update.as_object_mut().unwrap().remove("type");
    let (mut updated, mut refused_in_a_row) = (0, 0);
    let (mut rooms, mut refused, mut highest, mut slowest) =
        (Vec::new(), None, before, Duration::ZERO);
    let mut written = 0_u64;
    while written < 4 * QUOTA {
        // Create a room, then update it, which causes an event with all its data.
        let (method, path) = match rooms.last() {
            Some(room) if updated < rooms.len() => ("PUT", format!("/v1.0/conferences/{room}")),
            Some(_) | None => ("POST", "/v1.0/conferences".to_owned()),
        };
        let body = if method == "PUT" { &update } else { &large };
        let answer = request_as_greedy(&scene, method, &path, Some(body)).await;
        match answer.status {
            200 => {
                refused_in_a_row = 0;
                written += body.to_string().len() as u64;
                match method {
                    "PUT" => updated += 1,
                    _ => rooms.push(answer.body["id"].as_str().unwrap().to_owned()),
                }
            }
            429 => {
                refused_in_a_row += 1;
                refused = Some(answer);
                // Earlier than Retry-After, without occupying the machine.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => panic!("{other}: {}", answer.body),
        }
        highest = highest.max(used_memory(redis).await);
        if rooms.len() % 10 == 0 && refused_in_a_row == 0 {
            // The other app is not affected.
            let start = Instant::now();
            scene.check_commands_and_webhooks().await;
            slowest = slowest.max(start.elapsed());
        }
        // The counters have been read meanwhile, and the app is still refused.
        if refused_in_a_row >= 30 {
            break;
        }
    }
    assert!(refused_in_a_row >= 30, "the app is not refused for long");
    let refused = refused.expect("a refusal at the quota");
    assert!(
        refused.retry_after.is_some_and(|s| s >= 1),
        "429 has Retry-After"
    );
    assert_eq!(
        refused.body["detail"]["quota_bytes"], QUOTA,
        "{}",
        refused.body
    );
    let used = refused.body["detail"]["used_bytes"].as_u64().unwrap();
    assert!(used >= QUOTA, "{}", refused.body);
    // The limit includes writes admitted before the next reading of the counters, and Redis's overhead.
    let grown = highest.saturating_sub(before);
    assert!(grown < 8 * QUOTA, "{grown} bytes more memory");
    let metric = "roomkeeper_http_quota_refused_total";
    assert!(scene.world.controller.metric(metric, "").await >= 1.0);
    // Reads and deletions are not refused. Deletions free the bytes.
    let listed = request_as_greedy(&scene, "GET", "/v1.0/conferences", None).await;
    assert_eq!(listed.status, 200);
    for room in &rooms {
        let path = format!("/v1.0/conferences/{room}");
        let deleted = request_as_greedy(&scene, "DELETE", &path, None).await;
        assert_eq!(deleted.status, 200, "{}", deleted.body);
    }
    let path = format!("/webhooks/{hook}");
    let removed = request_as_greedy(&scene, "DELETE", &path, None).await;
    assert!(removed.status < 300, "{}", removed.body);
    let freed = Instant::now();
    let small = json!({ "type": "conference" });
    poll::until(
        "the app can write again",
        Duration::from_secs(60),
        async || {
            let answer = request_as_greedy(&scene, "POST", "/v1.0/conferences", Some(&small)).await;
            assert!(matches!(answer.status, 200 | 429), "{}", answer.body);
            (answer.status == 200).then_some(())
        },
    )
    .await;
    let redis = scene.world.redis.as_ref().unwrap();
    // Messages kept for event streams remain.
    let bound = (before + keys::OUTBOX_KEPT_BYTES).min(highest - QUOTA / 2);
    poll::until(
        "Redis frees the memory",
        Duration::from_secs(60),
        async || (used_memory(redis).await < bound).then_some(()),
    )
    .await;
    let after = used_memory(redis).await;
    let recovery = freed.elapsed();
    let mib = |bytes: u64| bytes >> 20;
    scene
        .report(
            format!("{} rooms, {} MiB written until the refusal at {} MiB", rooms.len(), mib(written), mib(used)),
            format!(
                "Redis {} MiB before, {} at most, {} after; the other app waits {slowest:.1?} at most; I1 I3",
                mib(before), mib(highest), mib(after)
            ),
            Some(recovery),
        )
        .await
}

/// The ids in the keys to corrupt.
struct CorruptIds {
    room: String,
    call: String,
    membership: String,
    recording: String,
    hook: EndpointId,
    /// A message in the receiver's queue.
    message: String,
}

/// One key of each family. The outbox has its own row (32).
fn one_key_per_family(scene: &Scene, ids: &CorruptIds) -> Vec<String> {
    let node: NodeId = scene.world.node.parse().unwrap();
    let app: AppId = scene.world.app.parse().unwrap();
    let (room, hook): (RoomId, _) = (ids.room.parse().unwrap(), &ids.hook);
    let call: CallId = ids.call.parse().unwrap();
    let [membership, recording] =
        [&ids.membership, &ids.recording].map(|view| view.parse().unwrap());
    let queue = keys::queue_name(hook, Scope::Room(room));
    let mut families = vec![
        keys::entity(EntityId::Room(room)),
        keys::lease(node),
        keys::epoch(node),
        keys::parts(EntityId::Room(room)),
        keys::entity(EntityId::Call(call)),
        keys::lists(node),
        keys::deadlines(node),
        keys::list(node, EntityKind::Room, &app),
        format!("{}:", keys::list(node, EntityKind::Room, &app)),
        keys::list(node, EntityKind::Call, &app),
        keys::view(membership),
        keys::view(recording),
        keys::view_list(node, ViewKind::Conference, ListOf::App(&app)),
        keys::view_list(node, ViewKind::Call, ListOf::App(&app)),
        keys::view_list(node, ViewKind::Recording, ListOf::App(&app)),
        keys::view_list(node, ViewKind::Call, ListOf::Room(room)),
        keys::views_over(node),
        keys::cursor(node),
        keys::queue(node, &queue),
        keys::delivery(node, hook, &ids.message),
        keys::health(node),
        keys::outbox_last(node),
        keys::due(node),
        keys::due_queues(node, hook),
        keys::ready(node),
        keys::claims(node),
        keys::failed(node),
        keys::node_status(node),
        keys::live_bytes(node),
        keys::ended_bytes(node),
        keys::outbox_bytes(node),
        keys::delivery_bytes(node),
        keys::history_bytes(node),
        keys::name(&app, &"spoilt".parse().unwrap()),
        keys::command(EntityId::Call(call), &"spoilt.1".parse().unwrap()),
        keys::apps(),
        keys::endpoints(),
        keys::apps_version(),
    ];
    families.extend(DeliveryStatus::ALL.map(|status| keys::log(node, hook, status)));
    families
}

async fn stored_value_has_wrong_type(stage: &Stage) -> Report {
    let mut scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let hook =
        json!({ "url": format!("http://127.0.0.1:{}/hook", closed_port()), "events": ["*"] });
    let made = scene
        .world
        .controller
        .ask("POST", "/webhooks", Some(&hook))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let hook: EndpointId = made.body["id"].as_str().unwrap().parse().unwrap();
    let room = scene.world.room("spoilt").await;
    let call = scene.world.call("1004").await;
    scene.world.join(&call, &room).await;
    let recording = scene
        .world
        .controller
        .ask(
            "POST",
            &format!("/conferences/{room}/recording/start"),
            Some(&json!({})),
        )
        .await;
    assert_eq!(recording.status, 202, "{}", recording.body);
    let joined = scene
        .world
        .receiver
        .first(&room, "conference.member.joined")
        .await;
    let membership = format!(
        "call-{}",
        joined.body["data"]["conferencecall_id"].as_str().unwrap()
    );
    let recording = format!(
        "recording-{}",
        recording.body["recording_id"].as_str().unwrap()
    );
    let ids = CorruptIds {
        room,
        call,
        membership,
        recording,
        hook,
        message: joined.id,
    };
    let families = one_key_per_family(&scene, &ids);
    let mut slowest = Duration::ZERO;
    for key in &families {
        let start = Instant::now();
        println!("corrupts {key}");
        check_corrupt_key(&mut scene, key, &ids).await;
        slowest = slowest.max(start.elapsed());
    }
    scene
        .report(
            format!("{} keys, one of each family", families.len()),
            "each is reported; lists, commands and webhooks of other entities work; I1 I3",
            Some(slowest),
        )
        .await
}

/// Corrupts one key, and checks that it is reported and that all other entities work.
async fn check_corrupt_key(scene: &mut Scene, key: &str, ids: &CorruptIds) {
    let saved = format!("{key}~saved");
    let redis = scene.world.redis.as_ref().unwrap();
    // In one script, because the controller writes meanwhile.
    let write = match key.contains("}:queue:") {
        true => "SET",
        false => "RPUSH",
    };
    let script = format!(
        "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end redis.call('{write}', KEYS[1], 'spoilt')"
    );
    redis.run(&["EVAL", &script, "2", key, &saved]).await;
    // The controller reads these keys when it takes a node over.
    if key.ends_with("}:lists") || key.ends_with("}:epoch") {
        scene.world.kill_and_start_again();
        scene.world.controller.until_synced().await;
    }
    use_all(scene, ids).await;
    check_lists(scene, key).await;
    let controller = &scene.world.controller;
    poll::until(&format!("{key} is reported"), TIMEOUT, async || {
        use_all(scene, ids).await;
        let found = controller.operator("/admin/orphans").await?;
        let nodes = found.body["nodes"].as_array()?.iter();
        let records = nodes.flat_map(|node| node["records"].as_array().into_iter().flatten());
        let mut records = records.chain(found.body["records"].as_array().into_iter().flatten());
        records.any(|record| record["key"] == key).then_some(())
    })
    .await;
    let ready = controller.operator("/readyz").await.unwrap();
    assert_eq!(ready.status, 200, "{key}: {}", ready.body);
    let nodes = ready.body["nodes"].as_array().unwrap().iter();
    let unreadable = nodes
        .filter_map(|node| node["unreadable"].as_u64())
        .sum::<u64>()
        + ready.body["store"]["unreadable"]
            .as_u64()
            .unwrap_or_default();
    assert!(unreadable >= 1, "{key}: {}", ready.body);
    check_lists(scene, key).await;
    scene.check_commands_and_webhooks().await;

    let redis = scene.world.redis.as_ref().unwrap();
    let kind: String = redis.query(&["TYPE", key]).await.unwrap();
    let wrong_type = if key.contains("}:queue:") {
        "string"
    } else {
        "list"
    };
    if kind == wrong_type {
        redis.run(&["DEL", key]).await;
    }
    let _ignored: u32 = redis
        .query(&["DEL", &format!("{key}:unreadable")])
        .await
        .unwrap();
    let exists: u32 = redis.query(&["EXISTS", key]).await.unwrap();
    let has_saved: u32 = redis.query(&["EXISTS", &saved]).await.unwrap();
    if exists == 0 && has_saved == 1 {
        redis.run(&["RENAME", &saved, key]).await;
    } else if has_saved == 1 {
        redis.run(&["DEL", &saved]).await;
    }
}

/// Uses every entity that may be corrupt. Any answer is permitted.
async fn use_all(scene: &Scene, ids: &CorruptIds) {
    let CorruptIds {
        room,
        call,
        hook,
        message,
        ..
    } = ids;
    let controller = &scene.world.controller;
    for path in [
        format!("/conferences/{room}"),
        format!("/conferences/{room}/members"),
        format!("/webhooks/{hook}/deliveries?status=pending"),
        format!("/webhooks/{hook}/deliveries?status=dead"),
        format!("/webhooks/{hook}/deliveries?status=delivered"),
        format!("/webhooks/{hook}/deliveries/{message}"),
        "/conferences".to_owned(),
        "/sessions".to_owned(),
        "/v1.0/conferences".to_owned(),
        "/v1.0/conferencecalls".to_owned(),
        format!(
            "/v1.0/conferencecalls?conference_id={}",
            &room[room.len() - 36..]
        ),
        "/v1.0/recordings".to_owned(),
    ] {
        let answer = controller.once("GET", &path, None).await.unwrap();
        assert!(answer.status < 600, "{path}");
    }
    let name = json!({ "name": "spoilt" });
    let command = json!({ "command_uid": "spoilt.1" });
    let mute = format!("/sessions/{call}/commands/conference/mute");
    let throwaway = json!({ "name": format!("t{}", uuid::Uuid::new_v4().simple()) });
    controller
        .once("POST", "/conferences", Some(&name))
        .await
        .unwrap();
    controller
        .once("POST", &mute, Some(&command))
        .await
        .unwrap();
    let made = controller
        .once("POST", "/conferences", Some(&throwaway))
        .await
        .unwrap();
    if let Some(made) = made.body["room_id"].as_str() {
        controller
            .once("DELETE", &format!("/conferences/{made}"), None)
            .await
            .unwrap();
    }
    // Change the member of the corrupt room in FreeSWITCH.
    let members = scene.world.fs(&format!("conference {room} list")).await;
    if let Some(id) = members.split(';').next() {
        for command in ["mute", "unmute"] {
            scene
                .world
                .fs(&format!("conference {room} {command} {id}"))
                .await;
        }
    }
}

/// Checks that all lists answer and contain the intact entities, unless the list itself is corrupt.
async fn check_lists(scene: &Scene, key: &str) {
    let controller = &scene.world.controller;
    let uuid = &scene.room[scene.room.len() - 36..];
    for (path, field, list, expected) in [
        (
            "/conferences?limit=200",
            "conferences",
            "}:list:rooms:",
            scene.room.as_str(),
        ),
        (
            "/sessions?limit=200",
            "sessions",
            "}:list:sessions:",
            scene.call.as_str(),
        ),
        ("/v1.0/conferences", "result", "}:views:conferences:", uuid),
        (
            "/v1.0/conferencecalls",
            "result",
            "}:views:calls:app:",
            scene.channel.as_str(),
        ),
        ("/v1.0/recordings", "result", "", ""),
    ] {
        let answer = controller.once("GET", path, None).await.unwrap();
        assert_eq!(answer.status, 200, "{key}: {path}: {}", answer.body);
        let text = answer.body[field].to_string();
        let is_corrupt = !list.is_empty() && key.contains(list);
        assert!(
            is_corrupt || text.contains(expected),
            "{key}: {path} lacks {expected}: {text}"
        );
    }
}
