//! Every recording of a real server, read by our own parser, cut in every way a network may cut it: the state
//! rebuilt from its first `checkpoint` bytes is what FreeSWITCH itself said of its rooms at that moment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use roomkeeper::esl::{ContentType, EslCodec, Event};
use roomkeeper::ids::NodeId;
use roomkeeper::reconciler::belief::{Belief, Cx, FreshIds, Rules};
use roomkeeper::reconciler::translate;
use roomkeeper::time::Timestamp;
use tokio_util::codec::Decoder;
use uuid::Uuid;

struct Counted(u128);

impl FreshIds for Counted {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0)
    }
}

/// How the stream is cut.
enum Cut {
    Every(usize),
    /// At places drawn from a seed, so that a failure can be had again.
    Random(u64),
}

impl Cut {
    fn next(&mut self) -> usize {
        match self {
            Self::Every(n) => *n,
            Self::Random(state) => {
                // xorshift64: any spread of sizes from 1 to 5,000 does.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                1 + (*state % 5_000) as usize
            }
        }
    }
}

/// A member as both sides can tell it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    can_speak: bool,
    can_hear: bool,
    hold: bool,
    talking: bool,
    floor: bool,
}

type Rooms = BTreeMap<String, (String, bool, BTreeMap<String, Seen>)>;

fn believed(belief: &Belief) -> Rooms {
    belief
        .rooms()
        .filter(|r| r.present() > 0)
        .map(|room| {
            let members = room
                .members()
                .iter()
                .map(|(who, m)| {
                    let seen = Seen {
                        can_speak: m.flags.can_speak(),
                        can_hear: m.flags.can_hear(),
                        hold: m.flags.hold,
                        talking: m.flags.talking,
                        floor: room.floor() == Some(who.channel()),
                    };
                    (who.channel().to_string(), seen)
                })
                .collect();
            let conference = room.conference().unwrap().id.to_string();
            (room.id().to_string(), (conference, room.locked(), members))
        })
        .collect()
}

fn said(json_list: &serde_json::Value) -> Rooms {
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
                    let seen = Seen {
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

/// Feeds a recording and compares at every checkpoint. Returns how many there were.
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
    let mut belief = Belief::new(node, Rules::default());
    let mut ids = Counted(0);
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
                let mut cx = Cx::new(now, &mut ids);
                belief.core_changed(Some(core), &mut cx);
                if let Some(news) = translate::news(&event) {
                    belief.news(news, &mut cx);
                }
            }
        }
        assert_eq!(
            believed(&belief),
            said(json_list),
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
fn the_state_is_what_freeswitch_said_byte_by_byte() {
    every_recording(|| Cut::Every(1));
}

#[test]
fn the_state_is_what_freeswitch_said_in_chunks_of_7() {
    every_recording(|| Cut::Every(7));
}

#[test]
fn the_state_is_what_freeswitch_said_in_chunks_of_64_kib() {
    every_recording(|| Cut::Every(65_536));
}

#[test]
fn the_state_is_what_freeswitch_said_at_random_cuts() {
    for seed in 1..=8 {
        every_recording(|| Cut::Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed)));
    }
}
