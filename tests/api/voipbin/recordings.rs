//! `/recordings`: lists and reads of running and ended recordings.

use std::time::Duration;

use roomkeeper::http::ApiSettings;
use roomkeeper_core::ids::RecordingId;
use roomkeeper_core::room::RecordInput;

use super::*;

fn recording_id(n: u128) -> RecordingId {
    RecordingId::generate(node_id("acW68"), Uuid::from_u128((0x4ec0_0000 + n) << 32))
}

fn path(id: RecordingId) -> String {
    format!("{RECORDINGS}/{}", id.uuid())
}

fn start(id: RecordingId) -> RoomInput {
    RoomInput::Record(RecordInput::Start {
        call: None,
        id,
        path: format!("/var/lib/freeswitch/recordings/{id}.wav"),
        command_uid: None,
        announcement: None,
        timeout: Duration::from_secs(10),
    })
}

fn started(id: RecordingId, failed: bool) -> RoomInput {
    RoomInput::Record(RecordInput::Started {
        id,
        failed,
        sequence: 110,
        synthesized: false,
    })
}

fn stopped(id: RecordingId, millis: u64) -> RoomInput {
    RoomInput::Record(RecordInput::Stopped {
        id,
        length: Some(Duration::from_millis(millis)),
        synthesized: false,
    })
}

/// A conference with a member, so that it can be recorded.
async fn occupied(world: &World, n: u128, owner: &str) -> RoomId {
    let room = conference_id("acW68", n);
    world.conference(room, owner).await;
    world.member(room, session_id("acW68", n)).await;
    room
}

#[tokio::test]
async fn recording_is_shown_in_each_state() {
    let world = World::new();
    let room = occupied(&world, 1, "demo").await;
    let id = recording_id(1);
    let mut shown = json!({
        "id": id.uuid(),
        "customer_id": customer(DEMO),
        "conference_id": room.uuid(),
        "status": "starting",
        "format": "wav",
        "path": format!("/var/lib/freeswitch/recordings/{id}.wav"),
        "duration": 0.0,
        "tm_start": NEVER,
        "tm_end": NEVER,
        "tm_create": "2022-02-03 06:08:58.672025",
        "tm_update": NEVER,
        "tm_delete": NEVER,
    });
    let check = async |shown: &Value| {
        world.get(&path(id)).await.is(200, shown.clone());
        let list = json!({"result": [shown], "next_page_token": ""});
        world.get(RECORDINGS).await.is(200, list);
    };
    world.apply_input(room, start(id), later(2)).await;
    check(&shown).await;
    world.apply_input(room, started(id, false), later(3)).await;
    shown["status"] = json!("recording");
    shown["tm_start"] = json!("2022-02-03 06:08:59.672025");
    shown["tm_update"] = shown["tm_start"].clone();
    check(&shown).await;
    world
        .apply_input(room, stopped(id, 12_340), later(16))
        .await;
    shown["status"] = json!("ended");
    shown["duration"] = json!(12.34);
    shown["tm_end"] = json!("2022-02-03 06:09:12.672025");
    shown["tm_update"] = shown["tm_end"].clone();
    check(&shown).await;
    // Also for an ended conference.
    world.ends(room).await;
    let gone = left(session_id("acW68", 1));
    world.apply_input(room, gone, later(25)).await;
    assert_eq!(world.get(&path_of(room)).await.ok()["status"], "terminated");
    check(&shown).await;
}

#[tokio::test]
async fn recording_that_never_started_has_failed() {
    let world = World::new();
    let room = occupied(&world, 1, "demo").await;
    let id = recording_id(1);
    world.apply_input(room, start(id), later(2)).await;
    world.apply_input(room, started(id, true), later(3)).await;
    let shown = world.get(&path(id)).await.ok();
    assert_eq!(shown["status"], "failed");
    assert_eq!(
        (&shown["duration"], &shown["tm_start"]),
        (&json!(0.0), &json!(NEVER))
    );
    assert_eq!(shown["tm_end"], "2022-02-03 06:08:59.672025");
    let conference = world.get(&path_of(room)).await.ok();
    assert_eq!(conference["recording_id"], NIL);
    assert_eq!(conference["recording_ids"], json!([id.uuid()]));
}

#[tokio::test]
async fn recordings_of_conference_can_be_read() {
    let world = World::new();
    let room = occupied(&world, 1, "demo").await;
    let command = format!("{}/recording_start", path_of(room));
    let conference = world.post_empty(&command).await.ok();
    let id = conference["recording_id"].as_str().unwrap();
    let shown = world.get(&format!("{RECORDINGS}/{id}")).await.ok();
    assert_eq!(shown["id"], id);
    assert_eq!(shown["conference_id"], conference["id"]);
    assert_eq!(shown["status"], "starting");
}

#[tokio::test]
async fn recordings_are_listed_by_creation_for_all_or_one_conference() {
    let world = World::new();
    let (one, two) = (
        occupied(&world, 1, "demo").await,
        occupied(&world, 2, "demo").await,
    );
    occupied(&world, 3, "demo").await;
    for (n, room) in [(9, one), (2, two), (5, one)] {
        let id = recording_id(n);
        let at = later(100 - u64::try_from(n).unwrap());
        world.apply_input(room, start(id), at).await;
        world.apply_input(room, stopped(id, 1), at).await;
    }
    let ids = async |query: &str| {
        let list = world.get(&format!("{RECORDINGS}{query}")).await.ok();
        let rows = list["result"].as_array().unwrap().clone();
        rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    let named = |n: &[u128]| n.iter().map(|n| json!(recording_id(*n).uuid())).collect();
    let expected: [(String, Vec<Value>); 5] = [
        (String::new(), named(&[9, 5, 2])),
        (format!("?conference_id={}", one.uuid()), named(&[9, 5])),
        (format!("?conference_id={}", two.uuid()), named(&[2])),
        (
            format!("?conference_id={}", conference_id("acW68", 3).uuid()),
            named(&[]),
        ),
        (
            format!("?conference_id={}", conference_id("acW68", 9).uuid()),
            named(&[]),
        ),
    ];
    for (query, expected) in expected {
        assert_eq!(ids(&query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn unknown_gives_404_malformed_400_foreign_403() {
    for hide_foreign in [false, true] {
        let world = World::with_settings(ApiSettings {
            hide_foreign,
            ..settings()
        });
        let room = occupied(&world, 1, "other").await;
        world
            .apply_input(room, start(recording_id(1)), later(2))
            .await;
        let missing = world.get(&path(recording_id(9))).await.fails(404);
        let theirs = world.get(&path(recording_id(1))).await;
        if hide_foreign {
            assert_eq!(theirs.fails(404), missing);
        } else {
            theirs.fails(403);
        }
        for id in [NIL, &room.uuid().to_string()] {
            world.get(&format!("{RECORDINGS}/{id}")).await.fails(404);
        }
        for id in ["x", "%FF", &recording_id(1).uuid().simple().to_string()] {
            world.get(&format!("{RECORDINGS}/{id}")).await.fails(400);
        }
        let none = json!({"result": [], "next_page_token": ""});
        world.get(RECORDINGS).await.is(200, none);
        for method in ["POST", "DELETE", "PUT"] {
            let path = path(recording_id(1));
            world
                .send(request(DEMO, method, &path, None))
                .await
                .fails(405);
        }
    }
}
