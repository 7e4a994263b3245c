//! Replays every recording of a real server through the parser, cut in every way a network may cut it: the state
//! rebuilt from the first `checkpoint` bytes matches FreeSWITCH's own report of its rooms at that moment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use freeswitch_esl::{ContentType, EslCodec, Event};
use roomkeeper::reconciler::translate;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, NodeId, OperationId, RoomId};
use roomkeeper_core::intent::Intent;
use roomkeeper_core::intent::{CreateRoom, Play};
use roomkeeper_core::node_state::{Context, IdSource, NodeState, Rules, Subject};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{Kind, Origin, PlayEvent, RoomEvent, RoomNotification};
use roomkeeper_core::switch_event::{ConferenceChange, SwitchEventKind};
use roomkeeper_core::time::Timestamp;
use tokio_util::codec::Decoder;
use uuid::Uuid;

struct CountingIds(u128);

impl IdSource for CountingIds {
    fn next_uuid(&mut self) -> Uuid {
        self.0 += 1;
        // Above the bits that hold the node in an id that carries its node.
        Uuid::from_u128(self.0 << 32)
    }
}

/// Returns the counter behind an id.
fn number(operation: OperationId) -> u128 {
    operation.uuid().as_u128() >> 32
}

/// The way in which the stream is cut.
enum Cut {
    Every(usize),
    /// At positions drawn from a seed, so that a failure can be reproduced.
    Random(u64),
}

impl Cut {
    fn next(&mut self) -> usize {
        match self {
            Self::Every(n) => *n,
            Self::Random(state) => {
                // xorshift64: any distribution of sizes from 1 to 5,000 is good enough.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                1 + (*state % 5_000) as usize
            }
        }
    }
}

/// A member, in the form that both sides can produce.
#[derive(Debug, PartialEq, Eq)]
struct MemberView {
    can_speak: bool,
    can_hear: bool,
    hold: bool,
    talking: bool,
    floor: bool,
}

type Rooms = BTreeMap<String, (String, bool, BTreeMap<String, MemberView>)>;

fn rooms_in_state(node_state: &NodeState) -> Rooms {
    node_state
        .rooms()
        .filter(|r| r.present() > 0)
        .map(|room| {
            let members = room
                .members()
                .iter()
                .map(|(call, m)| {
                    let seen = MemberView {
                        can_speak: m.flags.can_speak(),
                        can_hear: m.flags.can_hear(),
                        hold: m.flags.hold,
                        talking: m.flags.talking,
                        floor: room.floor() == Some(call.channel()),
                    };
                    (call.channel().to_string(), seen)
                })
                .collect();
            let conference = room.conference().unwrap().id.to_string();
            (
                room.id().to_string(),
                (conference, room.lock().locked(), members),
            )
        })
        .collect()
}

fn rooms_in_report(json_list: &serde_json::Value) -> Rooms {
    json_list
        .as_array()
        .unwrap()
        .iter()
        .map(|room| {
            let members = room["members"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|m| m["uuid"].is_string())
                .map(|m| {
                    let flag = |name: &str| m["flags"][name].as_bool().unwrap();
                    let seen = MemberView {
                        can_speak: flag("can_speak"),
                        can_hear: flag("can_hear"),
                        hold: flag("hold"),
                        talking: flag("talking"),
                        floor: flag("has_floor"),
                    };
                    (m["uuid"].as_str().unwrap().to_owned(), seen)
                })
                .collect();
            let text = |name: &str| room[name].as_str().unwrap().to_owned();
            (
                text("conference_name"),
                (
                    text("conference_uuid"),
                    room["locked"].as_bool().unwrap(),
                    members,
                ),
            )
        })
        .collect()
}

/// Replays a recording and compares the state at every checkpoint. Returns the number of checkpoints.
fn replay(scenario: &Path, mut cut: Cut) -> usize {
    let bytes = std::fs::read(scenario.join("events.esl")).unwrap();
    let script = std::fs::read_to_string(scenario.join("script.jsonl")).unwrap();
    let mut checkpoints: Vec<(usize, serde_json::Value)> = script
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|step| {
            let at = step.get("checkpoint")?.as_u64().unwrap() as usize;
            Some((at, step["json_list"].clone()))
        })
        .collect();
    checkpoints.sort_by_key(|(at, _)| *at);

    let node: NodeId = "nodeA".parse().unwrap();
    let mut node_state = NodeState::new(node, Rules::default());
    let mut ids = CountingIds(0);
    let mut codec = EslCodec::default();
    let mut buffer = BytesMut::new();
    let mut fed = 0;
    let mut compared = 0;
    for (at, json_list) in &checkpoints {
        while fed < *at {
            let n = cut.next().min(at - fed);
            buffer.extend_from_slice(&bytes[fed..fed + n]);
            fed += n;
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                if !matches!(
                    frame.content_type(),
                    ContentType::EventPlain | ContentType::EventJson
                ) {
                    continue;
                }
                let event = Event::from_frame(frame).unwrap();
                let now = Timestamp::from_micros(event.timestamp_us().unwrap());
                let core = translate::core(&event).unwrap();
                let mut cx = Context::new(now, &mut ids);
                node_state.core_changed(Some(core), &mut cx);
                if let Some(event_of_switch) = translate::switch_event(&event) {
                    node_state.apply_event(event_of_switch, &mut cx);
                }
            }
        }
        assert_eq!(
            rooms_in_state(&node_state),
            rooms_in_report(json_list),
            "{} after {at} bytes",
            scenario.display()
        );
        compared += 1;
    }
    compared
}

fn scenarios() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for format in ["plain", "json"] {
        for entry in std::fs::read_dir(root.join(format)).unwrap() {
            found.push(entry.unwrap().path());
        }
    }
    found.sort();
    assert_eq!(found.len(), 15, "a recording is missing: {found:?}");
    found
}

fn every_recording(cut: impl Fn() -> Cut) {
    let compared: usize = scenarios().iter().map(|s| replay(s, cut())).sum();
    assert!(compared >= 45, "only {compared} checkpoints were compared");
}

#[test]
fn replayed_state_matches_snapshots_byte_by_byte() {
    every_recording(|| Cut::Every(1));
}

#[test]
fn replayed_state_matches_snapshots_in_chunks_of_7() {
    every_recording(|| Cut::Every(7));
}

#[test]
fn replayed_state_matches_snapshots_in_chunks_of_64_kib() {
    every_recording(|| Cut::Every(65_536));
}

#[test]
fn replayed_state_matches_snapshots_at_random_cuts() {
    for seed in 1..=8 {
        every_recording(|| Cut::Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed)));
    }
}

/// Translates a path of the recording, which has its own file names, into our form: `op-<o>` is operation `o`, and the
/// index of a file is its position among those of that operation.
fn our_path(path: &str) -> Option<String> {
    let (params, url) = path.strip_prefix('{')?.split_once('}')?;
    let number = params.strip_prefix("op=op-")?.split(',').next()?;
    let operation = CountingIds(number.parse::<u128>().ok()? - 1).next_uuid();
    let n = u8::from(url.ends_with("two.wav"));
    Some(format!("{{op={operation},n={n},vol=0}}{url}"))
}

/// Returns the event as the server would have sent it for one of our commands.
fn as_our_event(event: &Event) -> Event {
    let mut text = String::new();
    for (name, value) in event.headers() {
        let value = match name.as_ref() {
            "File" => our_path(&value).unwrap_or(value.into_owned()),
            "Content-Length" => continue,
            _ => value.into_owned(),
        };
        let encoded: String = value
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'/' | b',' => {
                    char::from(b).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect();
        text.push_str(&format!("{name}: {encoded}\n"));
    }
    text.push('\n');
    let message = format!(
        "Content-Length: {}\nContent-Type: text/event-plain\n\n{text}",
        text.len()
    );
    let mut buffer = BytesMut::from(message.as_bytes());
    let frame = EslCodec::default().decode(&mut buffer).unwrap().unwrap();
    Event::from_frame(frame).unwrap()
}

/// The file events of a recorded server, in their order, lead each operation to its end.
#[test]
fn recorded_playback_leads_every_operation_to_its_end() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plain/playback");
    let bytes = std::fs::read(scenario.join("events.esl")).unwrap();
    let node: NodeId = "nodeA".parse().unwrap();
    let app: AppId = "demo".parse().unwrap();
    let room: RoomId = "nodeA-room-71def97f-0b13-40d6-a0cc-7888449ef4f5"
        .parse()
        .unwrap();
    let mut node_state = NodeState::new(node, Rules::default());
    // The ids of the operations are those of the recording.
    let mut ids = CountingIds(1_000);
    let mut codec = EslCodec::default();
    let mut buffer = BytesMut::from(&bytes[..]);
    let mut notifications = Vec::new();
    let mut wanted = VecDeque::from([
        (1, vec!["one.wav", "two.wav"]),
        (2, vec!["long.wav"]),
        (3, vec!["missing.wav"]),
        (5, vec!["long.wav"]),
    ]);
    let create = Intent::new(
        Target::Room(room),
        app.clone(),
        CreateRoom {
            name: "n".to_owned(),
            origin: Origin::Gateway,
            kind: Kind::Conference,
            details: Box::default(),
        },
    );
    let mut cx = Context::new(Timestamp::default(), &mut ids);
    node_state.intent(create, &mut cx).unwrap();
    while let Some(frame) = codec.decode(&mut buffer).unwrap() {
        if !matches!(frame.content_type(), ContentType::EventPlain) {
            continue;
        }
        let event = as_our_event(&Event::from_frame(frame).unwrap());
        let now = Timestamp::from_micros(event.timestamp_us().unwrap());
        let mut cx = Context::new(now, &mut ids);
        node_state.core_changed(translate::core(&event), &mut cx);
        let Some(event_of_switch) = translate::switch_event(&event) else {
            continue;
        };
        // Each operation is requested just before its first event.
        if let SwitchEventKind::Conference {
            change: ConferenceChange::FileOpened { file, .. },
            ..
        } = &event_of_switch.kind
            && wanted
                .front()
                .is_some_and(|(op, _)| *op == number(file.operation))
        {
            let (op, files) = wanted.pop_front().unwrap();
            let mut own = CountingIds(op - 1);
            let mut request = Context::new(now, &mut own);
            let media = files
                .iter()
                .map(|f| {
                    PlayUrl::new(&format!("http://127.0.0.1:9080/{f}"))
                        .unwrap()
                        .into()
                })
                .collect();
            let play = Intent::new(Target::Room(room), app.clone(), Play { media });
            node_state.intent(play, &mut request).unwrap();
            cx.out.notifications.append(&mut request.out.notifications);
        }
        // The recording has a file for one member, which nobody requested here.
        let is_for_member = matches!(
            &event_of_switch.kind,
            SwitchEventKind::Conference {
                change: ConferenceChange::FileOpened {
                    member: Some(_),
                    ..
                } | ConferenceChange::FileEnded {
                    member: Some(_),
                    ..
                },
                ..
            }
        );
        let unknown = node_state.unknown_entity(&event_of_switch);
        assert_eq!(unknown.is_some(), is_for_member, "{event_of_switch:?}");
        node_state.apply_event(event_of_switch, &mut cx);
        for notice in cx.out.notifications {
            if let Subject::Room(
                _,
                RoomNotification {
                    event: RoomEvent::Play(fact),
                    ..
                },
            ) = notice.about
            {
                notifications.push(match fact {
                    PlayEvent::Started { operation, .. } => {
                        format!("started {}", number(operation))
                    }
                    PlayEvent::Finished { operation, errors } => {
                        format!("finished {} {}", number(operation), errors.len())
                    }
                    PlayEvent::Stopped { operation } => {
                        format!("stopped {}", number(operation))
                    }
                    other @ (PlayEvent::Paused { .. }
                    | PlayEvent::Resumed { .. }
                    | PlayEvent::VolumeChanged { .. }) => format!("{other:?}"),
                });
            }
        }
    }
    assert_eq!(
        notifications,
        [
            "started 1",
            "finished 1 0",
            "started 2",
            "finished 2 0",
            "started 3",
            "finished 3 1",
            "started 5",
            "stopped 5",
        ]
    );
    assert!(wanted.is_empty());
}
