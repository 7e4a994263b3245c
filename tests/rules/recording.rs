//! One recording of a room at a time: what is asked, what FreeSWITCH says, what the app is told.

use roomkeeper::ids::RecordingId;
use roomkeeper::room::RecordingState;

use super::*;

impl World {
    fn record(&mut self) -> Result<RecordingId, Refusal> {
        let asked = self.asks(Intent::RecordStart {
            room: room(1),
            app: demo(),
            command_uid: Some("r-1".parse().unwrap()),
        })?;
        let Accepted::Recording { recording } = asked else {
            panic!("{asked:?}");
        };
        Ok(recording)
    }

    fn stop_recording(&mut self) -> Result<Accepted, Refusal> {
        self.asks(Intent::RecordStop {
            room: room(1),
            app: demo(),
            command_uid: Some("r-2".parse().unwrap()),
        })
    }

    fn recording_starts(&mut self, recording: RecordingId, failed: bool) {
        let change = ConferenceChange::RecordingStarted { recording, failed };
        self.conference(1, 1, 1, change);
    }

    fn recording_ends(&mut self, recording: RecordingId, ms: u64) {
        let length = Some(Duration::from_millis(ms));
        let change = ConferenceChange::RecordingStopped { recording, length };
        self.conference(1, 1, 1, change);
    }

    /// What would be shown of it now.
    fn shown(&mut self, recording: RecordingId) -> (RecordingState, Option<Duration>) {
        let room = self.belief.room_mut(room(1)).unwrap();
        let changes = room.take_changes();
        let view = &changes.recordings[&recording];
        (view.state, view.length)
    }

    fn recorded() -> (Self, RecordingId) {
        let mut world = Self::joined();
        let id = world.record().unwrap();
        world.recording_starts(id, false);
        world.told.clear();
        world.orders.clear();
        (world, id)
    }

    fn active(&self) -> Option<RecordingId> {
        Some(self.belief.room(room(1))?.recording()?.id)
    }
}

#[test]
fn it_begins_and_ends_when_freeswitch_says_so() {
    let mut world = World::joined();
    let id = world.record().unwrap();
    let path = format!("/{id}.wav");
    assert_eq!(
        world.orders,
        [Order::RecordStart {
            room: room(1),
            recording: id,
            path: path.clone()
        }]
    );
    world.told(&[]);
    assert_eq!(world.shown(id), (RecordingState::Starting, None));
    assert_eq!(world.record(), Err(Refusal::AlreadyRecording));
    world.recording_starts(id, false);
    world.told(&["recording started [r-1]"]);
    assert_eq!(world.shown(id), (RecordingState::Recording, None));
    world.orders.clear();
    let stops = Accepted::RecordingStops { recording: id };
    assert_eq!(world.stop_recording(), Ok(stops.clone()));
    assert_eq!(
        world.orders,
        [Order::RecordStop {
            room: room(1),
            recording: id,
            path
        }]
    );
    assert_eq!(world.stop_recording(), Ok(stops));
    assert_eq!(world.orders.len(), 1, "asked once");
    world.told(&[]);
    world.recording_ends(id, 4_200);
    world.told(&["recording stopped [r-2]"]);
    let length = Some(Duration::from_millis(4_200));
    assert_eq!(world.shown(id), (RecordingState::Ended, length));
    assert_eq!(world.active(), None);
    assert_eq!(world.stop_recording(), Err(Refusal::NotRecording));
    assert!(world.record().is_ok(), "and again");
    assert_eq!(world.belief.room(room(1)).unwrap().recordings().len(), 2);
}

#[test]
fn an_empty_conference_is_not_recorded() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.record(), Err(Refusal::NoMembers));
}

#[test]
fn one_that_does_not_begin_is_told_of() {
    let mut world = World::joined();
    let id = world.record().unwrap();
    world.recording_starts(id, true);
    world.told(&["recording failed [r-1]"]);
    assert_eq!(world.shown(id), (RecordingState::Failed, None));
    // Refused.
    let id = world.record().unwrap();
    let order = world.orders.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|b, cx| b.refused(&order, &refused, cx));
    world.told(&["recording failed [r-1]"]);
    assert_eq!(world.shown(id), (RecordingState::Failed, None));
    // Never heard of: and should it begin after all, it is told to end.
    world.record().unwrap();
    world.orders.clear();
    world.waits(10);
    world.told(&["recording failed [r-1]"]);
    assert!(matches!(
        world.orders.as_slice(),
        [Order::RecordStop { .. }]
    ));
    assert_eq!(world.active(), None);
}

#[test]
fn a_stop_that_is_not_confirmed_is_taken_back() {
    let (mut world, id) = World::recorded();
    world.stop_recording().unwrap();
    world.waits(10);
    assert_eq!(world.active(), Some(id));
    world.told(&[]);
    world.stop_recording().unwrap();
    assert_eq!(world.orders.len(), 2, "it can be asked again");
}

#[test]
fn the_emptying_of_the_room_ends_it() {
    let (mut world, id) = World::recorded();
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left removed [c-3]"]);
    world.recording_ends(id, 900);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.told(&["recording stopped"]);
    assert_eq!(world.active(), None);
}

#[test]
fn also_when_its_end_is_not_heard() {
    let (mut world, id) = World::recorded();
    world.now = world.now + Duration::from_secs(3);
    world.leaves(call(1), 1, 1, 0);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.told(&["left removed", "recording stopped (synthesized)"]);
    let length = Some(Duration::from_secs(3));
    assert_eq!(world.shown(id), (RecordingState::Ended, length));
}

#[test]
fn a_conference_that_is_deleted_is_over_after_its_recording() {
    let (mut world, id) = World::recorded();
    world.delete().unwrap();
    assert!(matches!(
        world.orders.as_slice(),
        [Order::RecordStop { .. }, Order::Park { .. }]
    ));
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left room_destroyed"]);
    world.recording_ends(id, 100);
    world.told(&["recording stopped", "destroyed"]);
    // And where its end is not heard, at the deadline.
    let (mut world, _) = World::recorded();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.told(&["left room_destroyed"]);
    world.waits(10);
    world.told(&["recording stopped (synthesized)", "destroyed"]);
}

#[test]
fn a_snapshot_tells_of_what_was_not_heard() {
    let shows = |world: &mut World, recordings: Vec<RecordingId>, confirmed: &BTreeSet<_>| {
        world.sequence += 1;
        let snapshot = Snapshot {
            core: core(),
            fence: world.sequence,
            rooms: vec![ShownRoom {
                room: room(1),
                conference: life(1),
                locked: false,
                meta: None,
                members: vec![roomkeeper::reconciler::news::ShownMember {
                    channel: call(1).channel(),
                    can_speak: false,
                    can_hear: true,
                    hold: false,
                    talking: false,
                    has_floor: false,
                    caller_id: "".into(),
                }],
                recordings,
            }],
        };
        world.with(|b, cx| b.snapshot(&snapshot, confirmed, cx))
    };
    let mut world = World::joined();
    let id = world.record().unwrap();
    let none = BTreeSet::new();
    assert!(
        shows(&mut world, Vec::new(), &none).is_empty(),
        "it has not begun"
    );
    shows(&mut world, vec![id], &none);
    world.told(&["recording started [r-1] (synthesized)"]);
    let suspects = shows(&mut world, Vec::new(), &none);
    assert_eq!(suspects.len(), 1);
    world.told(&[]);
    shows(&mut world, Vec::new(), &suspects);
    world.told(&["recording stopped (synthesized)"]);
}

#[test]
fn it_is_stored_and_read_back() {
    let (mut world, id) = World::recorded();
    world.stop_recording().unwrap();
    let stored = world.belief.room(room(1)).unwrap();
    let (head, parts) = encode_room(stored, &Default::default(), true);
    let parts = parts
        .into_iter()
        .filter_map(|(k, v)| Some((k, v?)))
        .collect();
    let record = Record {
        version: Version(1),
        head: head.into_iter().collect(),
        parts,
    };
    let read = decode_room(room(1), &record);
    let read = read.unwrap();
    assert_eq!(read.recording(), stored.recording());
    assert_eq!(read.recordings(), [id]);
}
