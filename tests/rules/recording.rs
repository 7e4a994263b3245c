//! One recording of a room at a time: requests, FreeSWITCH's events, and the resulting notifications.

use roomkeeper_core::ids::RecordingId;
use roomkeeper_core::intent::{RecordingAccepted, StartRecording, StopRecording};
use roomkeeper_core::room::RecordingState;

use super::*;

impl World {
    fn record(&mut self) -> Result<RecordingId, Refusal> {
        let accepted = self.submit(
            Intent::new(Target::Room(room(1)), demo(), StartRecording)
                .with_uid(Some("r-1".parse().unwrap())),
        )?;
        let Accepted::StartRecording(RecordingAccepted { recording }) = accepted else {
            panic!("{accepted:?}");
        };
        Ok(recording)
    }

    fn stop_recording(&mut self) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(Target::Room(room(1)), demo(), StopRecording)
                .with_uid(Some("r-2".parse().unwrap())),
        )
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

    /// Returns its present view.
    fn shown(&mut self, recording: RecordingId) -> (RecordingState, Option<Duration>) {
        let room = self.node_state.room_mut(room(1)).unwrap();
        let changes = room.take_changes();
        let view = &changes.recordings[&recording];
        (view.state, view.length)
    }

    fn recorded() -> (Self, RecordingId) {
        let mut world = Self::joined();
        let id = world.record().unwrap();
        world.recording_starts(id, false);
        world.notifications.clear();
        world.commands.clear();
        (world, id)
    }

    fn active(&self) -> Option<RecordingId> {
        Some(self.node_state.room(room(1))?.recording()?.id)
    }
}

#[test]
fn recording_starts_and_ends_with_events_of_freeswitch() {
    let mut world = World::joined();
    let id = world.record().unwrap();
    let path = format!("/{id}.wav");
    assert_eq!(
        world.commands,
        [SwitchCommand::new(
            Target::Room(room(1)),
            SwitchAction::StartRecording {
                recording: id,
                path: path.clone()
            }
        )]
    );
    world.expect_notifications(&[]);
    assert_eq!(world.shown(id), (RecordingState::Starting, None));
    assert_eq!(world.record(), Err(Refusal::AlreadyRecording));
    world.recording_starts(id, false);
    world.expect_notifications(&["recording started [r-1]"]);
    assert_eq!(world.shown(id), (RecordingState::Recording, None));
    world.commands.clear();
    let stops = Accepted::StopRecording(RecordingAccepted { recording: id });
    assert_eq!(world.stop_recording(), Ok(stops.clone()));
    assert_eq!(
        world.commands,
        [SwitchCommand::new(
            Target::Room(room(1)),
            SwitchAction::StopRecording {
                recording: id,
                path
            }
        )]
    );
    assert_eq!(world.stop_recording(), Ok(stops));
    assert_eq!(world.commands.len(), 1, "one command only");
    world.expect_notifications(&[]);
    world.recording_ends(id, 4_200);
    world.expect_notifications(&["recording stopped [r-2]"]);
    let length = Some(Duration::from_millis(4_200));
    assert_eq!(world.shown(id), (RecordingState::Ended, length));
    assert_eq!(world.active(), None);
    assert_eq!(world.stop_recording(), Err(Refusal::NotRecording));
    assert!(world.record().is_ok(), "the next recording is accepted");
    assert_eq!(
        world.node_state.room(room(1)).unwrap().recordings().len(),
        2
    );
}

#[test]
fn recording_fails_when_room_is_empty() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.record(), Err(Refusal::NoMembers));
}

#[test]
fn recording_that_does_not_start_is_reported() {
    let mut world = World::joined();
    let id = world.record().unwrap();
    world.recording_starts(id, true);
    world.expect_notifications(&["recording failed [r-1]"]);
    assert_eq!(world.shown(id), (RecordingState::Failed, None));
    // Refused.
    let id = world.record().unwrap();
    let command = world.commands.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|b, cx| b.revert_command(&command, &refused, cx));
    world.expect_notifications(&["recording failed [r-1]"]);
    assert_eq!(world.shown(id), (RecordingState::Failed, None));
    // No event came. In case it starts after all, FreeSWITCH gets a stop command.
    world.record().unwrap();
    world.commands.clear();
    world.waits(10);
    world.expect_notifications(&["recording failed [r-1]"]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::StopRecording { .. },
            ..
        }]
    ));
    assert_eq!(world.active(), None);
}

#[test]
fn unconfirmed_stop_is_reverted() {
    let (mut world, id) = World::recorded();
    world.stop_recording().unwrap();
    world.waits(10);
    assert_eq!(world.active(), Some(id));
    world.expect_notifications(&[]);
    world.stop_recording().unwrap();
    assert_eq!(world.commands.len(), 2, "the stop can be repeated");
}

#[test]
fn recording_ends_when_the_room_empties() {
    let (mut world, id) = World::recorded();
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed [c-3]"]);
    world.recording_ends(id, 900);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["recording stopped"]);
    assert_eq!(world.active(), None);
}

#[test]
fn recording_ends_with_its_conference_without_an_event() {
    let (mut world, id) = World::recorded();
    world.now = world.now + Duration::from_secs(3);
    world.leaves(call(1), 1, 1, 0);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["left removed", "recording stopped (synthesized)"]);
    let length = Some(Duration::from_secs(3));
    assert_eq!(world.shown(id), (RecordingState::Ended, length));
}

#[test]
fn deleted_room_ends_after_its_recording() {
    let (mut world, id) = World::recorded();
    world.delete().unwrap();
    assert!(matches!(
        world.commands.as_slice(),
        [
            SwitchCommand {
                action: SwitchAction::StopRecording { .. },
                ..
            },
            SwitchCommand {
                action: SwitchAction::Park { .. },
                ..
            }
        ]
    ));
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left room_destroyed"]);
    world.recording_ends(id, 100);
    world.expect_notifications(&["recording stopped", "destroyed"]);
    // If the event of its end is lost, the deadline decides.
    let (mut world, _) = World::recorded();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left room_destroyed"]);
    world.waits(10);
    world.expect_notifications(&["recording stopped (synthesized)", "destroyed"]);
}

#[test]
fn snapshot_reports_recordings_whose_events_were_lost() {
    let merge = |world: &mut World, recordings: Vec<RecordingId>, confirmed: &BTreeSet<_>| {
        world.sequence += 1;
        let snapshot = Snapshot {
            core: core(),
            fence: world.sequence,
            rooms: vec![SnapshotRoom {
                room: room(1),
                conference: conference_id(1),
                locked: false,
                meta: None,
                members: vec![roomkeeper_core::switch_event::SnapshotMember {
                    talked: None,
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
        world.with(|b, cx| b.merge_snapshot(&snapshot, confirmed, cx))
    };
    let mut world = World::joined();
    let id = world.record().unwrap();
    let none = BTreeSet::new();
    assert!(
        merge(&mut world, Vec::new(), &none).is_empty(),
        "the recording has not started"
    );
    merge(&mut world, vec![id], &none);
    world.expect_notifications(&["recording started [r-1] (synthesized)"]);
    let suspects = merge(&mut world, Vec::new(), &none);
    assert_eq!(suspects.len(), 1);
    world.expect_notifications(&[]);
    merge(&mut world, Vec::new(), &suspects);
    world.expect_notifications(&["recording stopped (synthesized)"]);
}

#[test]
fn stored_recording_is_restored_unchanged() {
    let (mut world, id) = World::recorded();
    world.stop_recording().unwrap();
    let stored = world.node_state.room(room(1)).unwrap();
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
