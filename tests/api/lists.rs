//! Lists: pages, limits, cursors, and that each present row is listed once during changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Store, keys, unreadable,
};
use roomkeeper_core::ids::{OperationId, RecordingId};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{Origin, PlayInput, RecordInput, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

const ROOMS: &str = "/api/v1/conferences";

fn ids(page: &Value, list: &str, field: &str) -> Vec<String> {
    let rows = page[list].as_array().unwrap();
    rows.iter()
        .map(|row| row[field].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn rooms_lists_own_rooms_of_all_nodes_by_creation() {
    let world = World::new();
    let rooms = [
        ("bbbbb", 3, 3_000),
        ("ccccc", 1, 1_000),
        ("acW68", 2, 2_000),
    ];
    for (node, n, at) in rooms {
        world
            .room(room_id(node, n), "demo", &format!("r{n}"), at, n)
            .await;
    }
    world.room(room_id("acW68", 4), "other", "r4", 500, 0).await;
    let row = |node, n: u128, second| {
        json!({
            "room_id": room_id(node, n).to_string(),
            "name": format!("r{n}"),
            "members": n,
            "created_at": format!("1970-01-01T00:00:0{second}Z"),
        })
    };
    world.get(ROOMS).await.is(
        200,
        json!({
            "conferences": [row("ccccc", 1, 1), row("acW68", 2, 2), row("bbbbb", 3, 3)],
            "cursor": "",
        }),
    );
}

#[tokio::test]
async fn row_has_playback_and_recording_status_only_if_active() {
    let world = World::new();
    let (id, at) = (room_id("acW68", 1), Timestamp::from_millis(2_000));
    world.room(id, "demo", "n", 1_000, 1).await;
    let both = async |name: &str| {
        let list = world.get(ROOMS).await.json();
        let detail = world.get(&format!("{ROOMS}/{id}")).await.json();
        assert_eq!(list["conferences"][0]["room_id"], id.to_string());
        [list["conferences"][0][name].clone(), detail[name].clone()]
    };
    assert_eq!(both("recording_status").await, [Value::Null, Value::Null]);
    assert_eq!(
        both("playback_status").await,
        [json!(null), json!("stopped")]
    );

    let start = format!("{ROOMS}/{id}/recording/start");
    let started = world.post(&start, json!({})).await.json();
    assert_eq!(both("recording_status").await, ["starting", "starting"]);
    let recording: RecordingId = started["recording_id"].as_str().unwrap().parse().unwrap();
    let runs = RecordInput::Started {
        id: recording,
        failed: false,
        sequence: 10,
        synthesized: false,
    };
    world.apply_input(id, RoomInput::Record(runs), at).await;
    assert_eq!(both("recording_status").await, ["recording", "recording"]);
    let stop = format!("{ROOMS}/{id}/recording/stop");
    world.post(&stop, json!({})).await.json();
    assert_eq!(both("recording_status").await, ["stopping", "stopping"]);
    let stopped = RecordInput::Stopped {
        id: recording,
        length: None,
        synthesized: false,
    };
    world.apply_input(id, RoomInput::Record(stopped), at).await;
    assert_eq!(both("recording_status").await, [Value::Null, Value::Null]);

    let play = PlayInput::Start {
        operation: OperationId::new(Uuid::from_u128(7)),
        media: vec![PlayUrl::new("https://example.com/a.wav").unwrap().into()],
        command_uid: None,
    };
    world.apply_input(id, RoomInput::Play(play), at).await;
    assert_eq!(both("playback_status").await, ["playing", "playing"]);
    let paused = PlayInput::Toggled {
        paused: true,
        command_uid: None,
    };
    world.apply_input(id, RoomInput::Play(paused), at).await;
    assert_eq!(both("playback_status").await, ["paused", "paused"]);
}

#[tokio::test]
async fn limits_have_defaults_and_bounds() {
    let world = World::new();
    let big = room_id("acW68", 9_999);
    for n in 0..250 {
        world
            .room(room_id(NODES[n % 3], n as u128), "demo", "r", n as u64, 0)
            .await;
        world
            .session(session_id(NODES[n % 3], n as u128), "demo", n as u64)
            .await;
    }
    world.room(big, "demo", "big", 1, 1_100).await;
    let members = format!("{ROOMS}/{big}/members");
    for (path, list, max) in [
        (ROOMS, "conferences", 200),
        ("/api/v1/sessions", "sessions", 200),
        (members.as_str(), "members", 1_000),
    ] {
        for (query, rows) in [
            ("", 50),
            ("?limit=1", 1),
            ("?limit=100000", max),
            ("?limit=99999999999999999999999999", max),
            ("?cursor=&other=x", 50),
        ] {
            let page = world.get(&format!("{path}{query}")).await.json();
            assert_eq!(page[list].as_array().unwrap().len(), rows, "{path}{query}");
            assert_ne!(page["cursor"], "");
        }
    }
}

#[tokio::test]
async fn invalid_page_gives_400() {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 3).await;
    world.room(room_id("acW68", 2), "demo", "m", 2, 0).await;
    let cursor = |path: String| {
        let world = &world;
        async move {
            world.get(&path).await.json()["cursor"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    let members = format!("{ROOMS}/{room}/members");
    let rooms_cursor = cursor(format!("{ROOMS}?limit=1")).await;
    let members_cursor = cursor(format!("{members}?limit=1")).await;
    assert!(!rooms_cursor.is_empty() && !members_cursor.is_empty());
    for (path, other) in [
        (ROOMS, &members_cursor),
        (members.as_str(), &rooms_cursor),
        ("/api/v1/sessions", &rooms_cursor),
    ] {
        for query in [
            "limit=0",
            "limit=-1",
            "limit=",
            "limit=1.5",
            "limit=ten",
            "limit=%FF",
            "limit=1&limit=2",
            "cursor=garbage",
            "cursor=%00",
            "cursor=%FF%FE",
            "cursor=a&cursor=b",
            &format!("cursor={other}"),
            &format!("cursor={}x", &rooms_cursor),
        ] {
            world.get(&format!("{path}?{query}")).await.fails(400);
        }
    }
    // Another app's cursor.
    let path = format!("{ROOMS}?cursor={rooms_cursor}");
    world
        .send(request(OTHER, "GET", &path, None))
        .await
        .fails(400);
    assert_eq!(world.get(&path).await.status.as_u16(), 200);
}

#[tokio::test]
async fn present_rooms_are_listed_once_during_changes() {
    let world = World::new();
    let id = |n: u64| room_id(NODES[n as usize % 3], n.into());
    for n in 0..60 {
        world.room(id(n), "demo", "r", 1_000 + n / 4, 0).await;
    }
    let (mut seen, mut cursor, mut next) = (Vec::new(), String::new(), 100);
    loop {
        let page = world
            .get(&format!("{ROOMS}?limit=7&cursor={cursor}"))
            .await
            .json();
        seen.extend(ids(&page, "conferences", "room_id"));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
        // Every third room ends, some before the cursor and some after it; new ones are added at the end.
        let gone = (next * 3) % 60;
        if world
            .get(&format!("{ROOMS}/{}", id(gone)))
            .await
            .status
            .is_success()
        {
            end(&world.store, EntityId::Room(id(gone))).await;
        }
        if next < 120 {
            world.room(id(next), "demo", "r", 2_000 + next, 0).await;
        }
        next += 1;
    }
    let once: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "a room was listed twice");
    for n in (0..60).filter(|n| n % 3 != 0) {
        assert!(
            once.contains(&id(n).to_string()),
            "room {n} was present and not listed"
        );
    }
    assert!(next > 105, "the list ended before any change");
}

#[tokio::test]
async fn present_members_are_listed_once_during_changes() {
    let world = World::new();
    let room = room_id("acW68", 1);
    let call = |n: u128| session_id("acW68", n);
    let at = Timestamp::from_millis(1);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    let mut present: BTreeSet<u128> = (0..40).map(|n| n * 10).collect();
    for round in 0..100_u128 {
        // The room is replaced in each round, with the present members.
        end(&world.store, EntityId::Room(room)).await;
        let mut state = new_room(room, &app("demo"), "n", Origin::Gateway, at);
        for n in &present {
            enter(&mut state, call(*n), true);
        }
        put_room(&world.store, &state).await;
        let path = format!("{ROOMS}/{room}/members?limit=6&cursor={cursor}");
        let page = world.get(&path).await.json();
        seen.extend(ids(&page, "members", "uuid"));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            assert!(round > 3);
            break;
        }
        present.remove(&(round * 70));
        present.insert(round * 70 + 1);
        present.insert(round + 3);
    }
    assert_eq!(cursor, "");
    let once: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "a member was listed twice");
    for n in (0..40).filter(|n| n % 7 != 0) {
        assert!(
            once.contains(&call(n * 10).to_string()),
            "{n} stayed and was missed"
        );
    }
}

#[tokio::test]
async fn sessions_are_listed_in_pages() {
    let world = World::new();
    for n in 1..=5 {
        world
            .session(
                session_id(NODES[n % 3], n as u128),
                "demo",
                1_000 * n as u64,
            )
            .await;
    }
    world.session(session_id("acW68", 9), "other", 1).await;
    let first = world.get("/api/v1/sessions?limit=3").await.json();
    let cursor = first["cursor"].as_str().unwrap();
    let second = world
        .get(&format!("/api/v1/sessions?limit=3&cursor={cursor}"))
        .await
        .json();
    let mut all = ids(&first, "sessions", "uuid");
    all.extend(ids(&second, "sessions", "uuid"));
    let expected: Vec<_> = (1..=5)
        .map(|n| session_id(NODES[n % 3], n as u128).to_string())
        .collect();
    assert_eq!(all, expected);
    assert_eq!(second["cursor"], "");
}

#[tokio::test]
async fn unreadable_record_omits_only_its_row() {
    // A separate node, because the list of unreadable records is shared by the process.
    let store = Arc::new(MemoryStore::new());
    let world = World::with_nodes(&["cor01"], store, settings());
    let (good, bad) = (room_id("cor01", 1), room_id("cor01", 2));
    for (room, at) in [(good, 1_000), (bad, 2_000)] {
        world.room(room, "demo", &format!("r{at}"), at, 1).await;
    }
    let (good_call, bad_call) = (session_id("cor01", 11), session_id("cor01", 12));
    for call in [good_call, bad_call] {
        world.session(call, "demo", 1_000).await;
    }
    for entity in [EntityId::Room(bad), EntityId::Call(bad_call)] {
        corrupt(&world.store, entity).await;
    }
    let rooms = world.get(ROOMS).await.json();
    assert_eq!(ids(&rooms, "conferences", "room_id"), [good.to_string()]);
    let calls = world.get("/api/v1/sessions").await.json();
    assert_eq!(ids(&calls, "sessions", "uuid"), [good_call.to_string()]);
    let conferences = world.get("/v1.0/conferences").await.json();
    assert_eq!(ids(&conferences, "result", "id"), [good.uuid().to_string()]);
    world.get(&format!("{ROOMS}/{bad}")).await.fails(500);
    let node = good.node();
    let unreadable = unreadable::of_node(node);
    let reported: Vec<_> = unreadable.iter().map(|found| found.key.clone()).collect();
    let corrupted = [EntityId::Call(bad_call), EntityId::Room(bad)].map(keys::entity);
    assert_eq!(reported, corrupted);
}

/// Overwrites the fields of a record with unreadable values.
async fn corrupt(store: &MemoryStore, entity: EntityId) {
    let record = store.read_head(entity).await.unwrap().unwrap();
    let fields = record.head.iter();
    let corrupted = fields.map(|(name, _)| (name.to_owned(), "corrupted".to_owned()));
    let commit = Commit {
        node: entity.node(),
        request: Uuid::new_v4(),
        lease: None,
        entities: vec![EntityWrite {
            entity,
            expected: record.version,
            head: corrupted.collect(),
            parts: Vec::new(),
            deadline: None,
            life: Life::Live,
            listed: None,
        }],
        outbox: Vec::new(),
        views: Vec::new(),
    };
    let outcome = store.commit(&commit).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Applied);
}
