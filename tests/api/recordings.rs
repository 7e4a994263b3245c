//! `/conferences/{room_id}/recording/…` and `/members/{uuid}/recording/…` of the gateway API.

use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{RecordingId, RoomId};
use roomkeeper_core::intent::{PauseRecording, RecordingAccepted, StartRecording, StopRecording};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{Announcement, Spoken};
use roomkeeper_core::speech::Speech;
use serde_json::json;
use uuid::Uuid;

use crate::world::*;

const VERBS: [(&str, &str); 4] = [
    ("start", "starting"),
    ("stop", "stopping"),
    ("pause", "paused"),
    ("resume", "recording"),
];

async fn world() -> (World, RoomId) {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    (world, room)
}

/// Both targets of a recording, each with its path.
fn targets(room: RoomId) -> [(Target, String); 2] {
    let call = session_id("acW68", 1);
    let path = format!("/api/v1/conferences/{room}");
    [
        (Target::Room(room), format!("{path}/recording")),
        (
            Target::Member { room, call },
            format!("{path}/members/{call}/recording"),
        ),
    ]
}

fn accepted(verb: &str) -> (RecordingId, Accepted) {
    let recording = RecordingId::generate(room_id("acW68", 1).node(), Uuid::from_u128(7));
    let body = RecordingAccepted { recording };
    let accepted = match verb {
        "start" => Accepted::StartRecording(body),
        "stop" => Accepted::StopRecording(body),
        _ => Accepted::PauseRecording(body),
    };
    (recording, accepted)
}

#[tokio::test]
async fn recording_commands_give_202_with_id_and_status() {
    let (world, room) = world().await;
    for (target, path) in targets(room) {
        for (verb, status) in VERBS {
            let (id, answer) = accepted(verb);
            world.script(Ok(answer));
            let got = world.post_empty(&format!("{path}/{verb}")).await;
            let id = id.to_string();
            got.is(202, json!({ "recording_id": id, "status": status }));
            let by = app("demo");
            let expected = match verb {
                "start" => Intent::new(target, by, StartRecording::default()),
                "stop" => Intent::new(target, by, StopRecording),
                verb => {
                    let pause = verb == "pause";
                    Intent::new(target, by, PauseRecording { pause })
                }
            };
            assert_eq!(world.intents(), [expected]);
        }
    }
}

#[tokio::test]
async fn repeated_recording_command_runs_once() {
    let (world, room) = world().await;
    world.session(session_id("acW68", 1), "demo", 1).await;
    for (_, path) in targets(room) {
        for (verb, _) in VERBS {
            let (_, answer) = accepted(verb);
            world.script(Ok(answer));
            let body = json!({ "command_uid": verb });
            let path = format!("{path}/{verb}");
            let first = world.post(&path, body.clone()).await;
            assert_eq!(first.status, 202, "{verb}: {}", first.json());
            let first = first.json();
            assert_eq!(world.post(&path, body).await.json(), first);
            assert_eq!(world.intents().len(), 1);
        }
    }
}

#[tokio::test]
async fn refused_recording_commands_have_their_status() {
    let (world, room) = world().await;
    for (_, path) in targets(room) {
        for (refusal, status) in [
            (Refusal::AlreadyRecordingMember, 409),
            (Refusal::NotRecordingMember, 409),
            (Refusal::RecordingStarting, 409),
            (Refusal::StillJoining, 409),
            (Refusal::NotInRoom, 404),
            (Refusal::ForeignRoom, 403),
        ] {
            for (verb, _) in VERBS {
                world.script(Err(IntentError::Refused(refusal.clone())));
                let got = world.post_empty(&format!("{path}/{verb}")).await;
                assert_eq!(got.status, status, "{refusal}");
            }
        }
    }
}

#[tokio::test]
async fn announcement_of_a_recording_is_in_its_intent() {
    let (world, room) = world().await;
    let path = format!("/api/v1/conferences/{room}/recording/start");
    let url = PlayUrl::new("http://1.1.1.1/a.wav").unwrap();
    let spoken = Spoken {
        text: Speech::new("Recorded").unwrap(),
        voice: None,
    };
    for (body, announcement) in [
        (json!({"url": url}), Announcement::File { url: url.clone() }),
        (json!({"text": "Recorded"}), Announcement::Speech(spoken)),
    ] {
        let (_, answer) = accepted("start");
        world.script(Ok(answer));
        let got = world.post(&path, json!({ "announcement": body })).await;
        assert_eq!(got.status.as_u16(), 202, "{}", got.text);
        let start = StartRecording {
            announcement: Some(announcement),
        };
        let expected = Intent::new(Target::Room(room), app("demo"), start);
        assert_eq!(world.intents(), [expected]);
    }
}

#[tokio::test]
async fn bad_announcement_of_a_recording_gives_400_with_its_field() {
    let (world, room) = world().await;
    let path = format!("/api/v1/conferences/{room}/recording/start");
    for (announcement, field) in [
        (json!("http://1.1.1.1/a.wav"), "announcement"),
        (json!({}), "announcement"),
        (
            json!({"text": "a", "url": "http://1.1.1.1/a"}),
            "announcement",
        ),
        (json!({"url": "ftp://1.1.1.1/a"}), "announcement.url"),
        (json!({"url": 7}), "announcement.url"),
        (json!({"url": "http://127.0.0.1/a"}), "announcement.url"),
        (json!({"text": ""}), "announcement.text"),
        (
            json!({"text": "a", "voice": "nobody"}),
            "announcement.voice",
        ),
    ] {
        let body = json!({ "announcement": announcement });
        let answer = world.post(&path, body.clone()).await;
        assert_eq!(answer.fails(400)["detail"]["field"], field, "{body}");
    }
    world.set_node("acW68", |node| node.speaks = false);
    let body = json!({"announcement": {"text": "Recorded"}});
    let answer = world.post(&path, body).await;
    assert_eq!(answer.fails(400)["detail"]["field"], "announcement.text");
    assert!(world.intents().is_empty());
}
