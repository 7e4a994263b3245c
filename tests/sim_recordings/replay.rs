//! Inputs that the model takes from a recording: identifiers, and the times at which threads took their steps.
//!
//! The order in which threads of the real server run is arbitrary and not part of any contract. So it is an input here:
//! the model asks when a thread takes its next step, and the answer comes from the recording. Everything that follows
//! from that order (sizes, floors, states, refusals, the choice of events and their content) is the model's own result.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use freeswitch_sim::core::{FRAME, IdKind, Ids, MediaPace, SeededIds, Step, Timing};

use crate::wire::Event;

/// Identifiers of the recording, in the order in which the model requests them.
#[derive(Debug, Default)]
pub struct Known {
    pub core: String,
    pub channels: VecDeque<String>,
    pub rooms: VecDeque<String>,
    pub jobs: VecDeque<String>,
}

pub struct RecordedIds {
    pub known: Arc<Mutex<Known>>,
    pub others: SeededIds,
}

impl Ids for RecordedIds {
    fn next(&mut self, kind: IdKind) -> String {
        let mut known = self.known.lock().unwrap();
        let found = match kind {
            IdKind::Core => Some(known.core.clone()),
            IdKind::Channel => known.channels.pop_front(),
            IdKind::Room => known.rooms.pop_front(),
            IdKind::Job => known.jobs.pop_front(),
            IdKind::Other => None,
        };
        found.unwrap_or_else(|| self.others.next(kind))
    }
}

/// The maximum distance between the time of the request and a recorded step that answers it. The recording's clock
/// ticks every 20 ms.
const EARLY: u64 = 25_000;
const LATE: u64 = 600_000;

pub struct RecordedTiming {
    points: BTreeMap<(Step, String), Vec<u64>>,
    used: BTreeMap<(Step, String), usize>,
    pace: MediaPace,
}

/// Gives every recorded event a distinct time, in the order of the wire.
pub fn times(events: &[Event]) -> Vec<u64> {
    let mut last = 0;
    events
        .iter()
        .map(|event| {
            last = event.time().max(last + 10);
            last
        })
        .collect()
}

/// Returns the time when the member of an `add-member` event was admitted. Ids are assigned then, so a call with a
/// lower id was admitted before one with a higher id, even if it became a member later.
fn let_in(event: &Event, at: u64, events: &[Event], times: &[u64]) -> u64 {
    let id = |event: &Event| event.get("Member-ID").parse::<u64>().unwrap();
    let added: Vec<(u64, u64)> = events
        .iter()
        .zip(times)
        .filter(|(other, other_at)| {
            other.get("Action") == "add-member" && other_at.abs_diff(at) < EARLY
        })
        .map(|(other, at)| (id(other), *at))
        .collect();
    let first_above = |id: u64| {
        added
            .iter()
            .filter(|(other, _)| *other >= id)
            .map(|(_, at)| *at)
            .min()
    };
    let first = first_above(id(event)).unwrap_or(at);
    // Members of the same time follow the order of their ids.
    let before = added
        .iter()
        .filter(|(other, _)| *other < id(event) && first_above(*other) == Some(first))
        .count();
    first - 9 + before as u64
}

impl RecordedTiming {
    pub fn new(events: &[Event], times: &[u64]) -> Self {
        let mut points: BTreeMap<(Step, String), Vec<u64>> = BTreeMap::new();
        let mut add = |step: Step, subject: &str, at: u64| {
            points
                .entry((step, subject.to_owned()))
                .or_default()
                .push(at);
        };
        let mut hung_up: BTreeMap<&str, ()> = BTreeMap::new();
        let mut started: BTreeMap<&str, ()> = BTreeMap::new();
        for (event, &at) in events.iter().zip(times) {
            let (uuid, room) = (event.get("Unique-ID"), event.get("Conference-Unique-ID"));
            match event.name() {
                "CHANNEL_CREATE" => add(Step::Create, uuid, at),
                "CHANNEL_ANSWER" => add(Step::Answer, uuid, at),
                "CHANNEL_PARK" if started.insert(uuid, ()).is_none() => add(Step::Run, uuid, at),
                "CHANNEL_UNPARK" => add(Step::Notice, uuid, at),
                "CHANNEL_EXECUTE_COMPLETE" if event.get("Application") == "answer" => {
                    add(Step::Answered, uuid, at)
                }
                // The other leg of a loopback call, which plays until its call ends.
                "CHANNEL_EXECUTE_COMPLETE"
                    if event.get("Application-Data").contains("_stream://") =>
                {
                    let step = if hung_up.contains_key(uuid) {
                        Step::Notice
                    } else {
                        Step::PeerNotice
                    };
                    add(step, uuid, at);
                }
                "CHANNEL_HANGUP" => {
                    hung_up.insert(uuid, ());
                    add(Step::PeerHangup, uuid, at);
                }
                "CHANNEL_HANGUP_COMPLETE" => add(Step::Report, uuid, at),
                "CHANNEL_DESTROY" => add(Step::Destroy, uuid, at),
                "CUSTOM" => match event.get("Action") {
                    "add-member" => {
                        let let_in = let_in(event, at, events, times);
                        if started.insert(uuid, ()).is_none() {
                            add(Step::Run, uuid, let_in);
                        }
                        add(Step::Join, uuid, let_in);
                        add(Step::Add, uuid, at);
                    }
                    "del-member" => add(Step::Notice, uuid, at - 5),
                    "floor-change" if event.get("New-ID") != "none" => add(Step::Floor, room, at),
                    "start-talking" => add(Step::TalkStart, uuid, at),
                    "stop-talking" => add(Step::TalkStop, uuid, at),
                    // The name is free shortly before the event of the end: by then the next conference of this name
                    // may exist.
                    "conference-destroy" => {
                        let emptied = events
                            .iter()
                            .zip(times)
                            .filter(|(other, _)| {
                                other.get("Conference-Unique-ID") == room
                                    && other.get("Action") == "del-member"
                            })
                            .map(|(_, at)| *at)
                            .max()
                            .unwrap_or(at);
                        let next = events.iter().zip(times).find(|(other, created)| {
                            other.get("Action") == "conference-create"
                                && other.get("Conference-Name") == event.get("Conference-Name")
                                && **created > emptied
                                && **created < at
                        });
                        add(
                            Step::RoomEnd,
                            room,
                            next.map_or(at - 1, |(_, created)| created - 20),
                        );
                        add(Step::RoomGone, room, at);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Self {
            points,
            used: BTreeMap::new(),
            pace: MediaPace::default(),
        }
    }
}

impl Timing for RecordedTiming {
    fn at(&mut self, step: Step, subject: &str, now: u64) -> u64 {
        let key = (step, subject.to_owned());
        let usual = self.pace.at(step, subject, now);
        let Some(points) = self.points.get(&key) else {
            return usual;
        };
        if step == Step::Floor {
            // The model asks repeatedly for the same frame, so nothing is used up. Where the recording has no change,
            // the conference's thread was late: members that leave together were gone before it ran.
            return points
                .iter()
                .copied()
                .find(|at| *at > now && *at < now + LATE)
                .unwrap_or(now + FRAME + FRAME / 2);
        }
        let used = self.used.entry(key).or_default();
        let late = if matches!(step, Step::TalkStop) {
            1_000_000
        } else {
            LATE
        };
        let found = points
            .iter()
            .enumerate()
            .skip(*used)
            .find(|(_, at)| **at + EARLY >= now && **at <= now + late)
            .map(|(index, at)| (index, *at));
        match found {
            Some((index, at)) => {
                *used = index + 1;
                at.max(now)
            }
            None => usual,
        }
    }
}
