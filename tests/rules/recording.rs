//! One recording of a room at a time: requests, FreeSWITCH's events, and the resulting notifications.

use roomkeeper_core::ids::RecordingId;
use roomkeeper_core::intent::{PauseRecording, RecordingAccepted, StartRecording, StopRecording};
use roomkeeper_core::node_state::RecordedMember;
use roomkeeper_core::room::{RecordAction, RecordingState};

use roomkeeper_core::room::RoomState;
use roomkeeper_core::room::plan::Suspect;

use super::*;

impl World {
    fn record(&mut self) -> Result<RecordingId, Refusal> {
        self.record_of(Target::Room(room(1)))
    }

    fn record_of(&mut self, target: Target) -> Result<RecordingId, Refusal> {
        let accepted = self.submit(
            Intent::new(target, demo(), StartRecording::default())
                .with_uid(Some("r-1".parse().unwrap())),
        )?;
        let Accepted::StartRecording(RecordingAccepted { recording }) = accepted else {
            panic!("{accepted:?}");
        };
        Ok(recording)
    }

    fn stop_recording(&mut self) -> Result<Accepted, Refusal> {
        self.stop_recording_of(Target::Room(room(1)))
    }

    fn stop_recording_of(&mut self, target: Target) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(target, demo(), StopRecording).with_uid(Some("r-2".parse().unwrap())),
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

    /// Merges a snapshot that shows these recordings, each with true if it is paused. Returns the suspects.
    fn list_recordings(
        &mut self,
        recordings: Vec<(RecordingId, bool)>,
        confirmed: &BTreeSet<Suspect>,
    ) -> BTreeSet<Suspect> {
        self.sequence += 1;
        let snapshot = Snapshot {
            core: core(),
            fence: self.sequence,
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
                    levels: ReportedLevels::default(),
                    caller_id: "".into(),
                }],
                recordings,
            }],
        };
        self.with(|b, cx| b.merge_snapshot(&snapshot, confirmed, cx))
    }

    fn pause(&mut self, target: Target, pause: bool) -> Result<Accepted, Refusal> {
        let uid = if pause { "p-1" } else { "p-2" };
        let action = PauseRecording { pause };
        self.submit(Intent::new(target, demo(), action).with_uid(Some(uid.parse().unwrap())))
    }

    fn recording_pauses(&mut self, recording: RecordingId, paused: bool) {
        let change = ConferenceChange::RecordingPaused { recording, paused };
        self.conference(1, 1, 1, change);
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
            SwitchAction::Record {
                recording: id,
                path: path.clone(),
                action: RecordAction::Start,
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
            SwitchAction::Record {
                recording: id,
                path,
                action: RecordAction::Stop,
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
            action: SwitchAction::Record {
                action: RecordAction::Stop,
                ..
            },
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
                action: SwitchAction::Record {
                    action: RecordAction::Stop,
                    ..
                },
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
    let mut world = World::joined();
    let id = world.record().unwrap();
    let none = BTreeSet::new();
    assert!(
        world.list_recordings(Vec::new(), &none).is_empty(),
        "the recording has not started"
    );
    world.list_recordings(vec![(id, false)], &none);
    world.expect_notifications(&["recording started [r-1] (synthesized)"]);
    let suspects = world.list_recordings(Vec::new(), &none);
    assert_eq!(suspects.len(), 1);
    world.expect_notifications(&[]);
    world.list_recordings(Vec::new(), &suspects);
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

/// Returns the room as another replica reads it from the store.
pub(super) fn reread(world: &World) -> RoomState {
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
    decode_room(room(1), &record).unwrap()
}

// ---- pauses -------------------------------------------------------------------------------------------------------

#[test]
fn recording_pauses_and_resumes_with_events_of_freeswitch() {
    let (mut world, id) = World::recorded();
    let target = Target::Room(room(1));
    let accepted = Accepted::PauseRecording(RecordingAccepted { recording: id });
    assert_eq!(world.pause(target, true), Ok(accepted.clone()));
    assert_eq!(record_actions(&world), [RecordAction::Pause]);
    assert_eq!(world.pause(target, true), Ok(accepted.clone()));
    assert_eq!(world.commands.len(), 1, "one command only");
    world.expect_notifications(&[]);
    world.now = world.now + Duration::from_secs(2);
    world.recording_pauses(id, true);
    world.recording_pauses(id, true);
    world.expect_notifications(&["recording paused [p-1]"]);
    let status = |world: &World| {
        let room = world.node_state.room(room(1)).unwrap();
        room.recording().unwrap().status_name()
    };
    assert_eq!(status(&world), "paused");
    assert_eq!(world.pause(target, true), Ok(accepted.clone()), "no change");
    assert_eq!(world.commands.len(), 1);
    assert_eq!(
        reread(&world).recording(),
        world.node_state.room(room(1)).unwrap().recording()
    );
    world.now = world.now + Duration::from_secs(5);
    assert_eq!(world.pause(target, false), Ok(accepted));
    world.recording_pauses(id, false);
    world.expect_notifications(&["recording resumed [p-2]"]);
    assert_eq!(status(&world), "recording");
    // The length leaves out the pause.
    world.now = world.now + Duration::from_secs(1);
    world.leaves(call(1), 1, 1, 0);
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["left removed", "recording stopped (synthesized)"]);
    let length = Some(Duration::from_secs(3));
    assert_eq!(world.shown(id), (RecordingState::Ended, length));
}

#[test]
fn recording_that_has_not_started_cannot_pause() {
    let mut world = World::joined();
    let target = Target::Room(room(1));
    assert_eq!(world.pause(target, true), Err(Refusal::NotRecording));
    let id = world.record().unwrap();
    assert_eq!(world.pause(target, true), Err(Refusal::RecordingStarting));
    world.recording_starts(id, false);
    world.stop_recording().unwrap();
    assert_eq!(world.pause(target, true), Err(Refusal::NotRecording));
}

#[test]
fn refused_pause_is_dropped() {
    let (mut world, id) = World::recorded();
    let target = Target::Room(room(1));
    world.pause(target, true).unwrap();
    let command = world.commands.pop().unwrap();
    let refused = CommandError::Refused(format!("non-existant recording '/{id}.wav'"));
    world.with(|b, cx| b.revert_command(&command, &refused, cx));
    world.expect_notifications(&[]);
    let known = world.node_state.room(room(1)).unwrap().recording().unwrap();
    assert_eq!((known.status_name(), known.deadline()), ("recording", None));
}

#[test]
fn late_report_of_a_pause_changes_nothing() {
    let (mut world, id) = World::recorded();
    world.sequence += 10;
    world.recording_pauses(id, true);
    world.expect_notifications(&["recording paused"]);
    world.sequence -= 6;
    world.recording_pauses(id, false);
    world.expect_notifications(&[]);
}

#[test]
fn unanswered_pause_can_be_repeated_and_reversed() {
    let (mut world, id) = World::recorded();
    let target = Target::Room(room(1));
    world.pause(target, true).unwrap();
    world.waits(10);
    assert_eq!(
        record_actions(&world),
        [RecordAction::Pause],
        "no blind repeat"
    );
    // It may have taken effect, so even the value that the state has is requested from FreeSWITCH.
    assert!(reread(&world).recording().unwrap().pause.uncertain);
    world.pause(target, false).unwrap();
    assert_eq!(world.commands.len(), 2);
    world.recording_pauses(id, false);
    world.expect_notifications(&[]);
    assert!(!reread(&world).recording().unwrap().pause.uncertain);
}

#[test]
fn snapshot_reports_pauses_whose_events_were_lost() {
    let (mut world, id) = World::recorded();
    let none = BTreeSet::new();
    world.list_recordings(vec![(id, true)], &none);
    world.expect_notifications(&["recording paused (synthesized)"]);
    world.list_recordings(vec![(id, true)], &none);
    world.list_recordings(vec![(id, false)], &none);
    world.expect_notifications(&["recording resumed (synthesized)"]);
}

fn record_actions(world: &World) -> Vec<RecordAction> {
    let actions = world.commands.iter().map(|command| &command.action);
    actions
        .filter_map(|action| match action {
            SwitchAction::Record { action, .. } => Some(*action),
            _ => None,
        })
        .collect()
}

// ---- recordings of members ----------------------------------------------------------------------------------------

fn member() -> Target {
    Target::Member {
        room: room(1),
        call: call(1),
    }
}

impl World {
    fn member_recording_starts(&mut self, recording: RecordingId) {
        let room = room(1);
        self.channel(call(1), ChannelChange::RecordingStarted { room, recording });
    }

    fn member_recording_ends(&mut self, recording: RecordingId, ms: u64) {
        let change = ChannelChange::RecordingStopped {
            room: room(1),
            recording,
            length: Some(Duration::from_millis(ms)),
        };
        self.channel(call(1), change);
    }

    fn member_recorded() -> (Self, RecordingId) {
        let mut world = Self::joined();
        let id = world.record_of(member()).unwrap();
        world.member_recording_starts(id);
        world.notifications.clear();
        world.commands.clear();
        (world, id)
    }

    /// Answers the last command with `+OK`.
    fn answers_last(&mut self) {
        let command = self.commands.last().unwrap().clone();
        self.with(|b, cx| b.apply_answer(&command, "Success", cx));
    }

    fn refuses_last(&mut self, error: &CommandError) {
        let command = self.commands.last().unwrap().clone();
        self.with(|b, cx| b.revert_command(&command, error, cx));
    }

    fn recorded_members(&self) -> Vec<RecordedMember> {
        self.node_state.recorded_members()
    }
}

#[test]
fn member_is_recorded_beside_its_room() {
    let (mut world, of_room) = World::recorded();
    let id = world.record_of(member()).unwrap();
    let [command] = world.commands.as_slice() else {
        panic!("{:?}", world.commands);
    };
    assert_eq!(command.target, member());
    assert_eq!(
        world.record_of(member()),
        Err(Refusal::AlreadyRecordingMember)
    );
    world.expect_notifications(&[]);
    world.member_recording_starts(id);
    world.member_recording_starts(id);
    world.expect_notifications(&["member recording started [r-1]"]);
    assert_eq!(world.active(), Some(of_room));
    world.stop_recording_of(member()).unwrap();
    world.member_recording_ends(id, 700);
    world.expect_notifications(&["member recording stopped [r-2]"]);
    assert_eq!(world.shown(id).1, Some(Duration::from_millis(700)));
    let refused = world.stop_recording_of(member());
    assert_eq!(refused, Err(Refusal::NotRecordingMember));
    assert!(world.recorded_members().is_empty());
}

#[test]
fn only_a_member_is_recorded() {
    let mut world = World::with_room_and_call();
    assert_eq!(world.record_of(member()), Err(Refusal::NotInRoom));
    world.join(call(1), room(1)).unwrap();
    assert_eq!(world.record_of(member()), Err(Refusal::StillJoining));
}

#[test]
fn answers_confirm_the_pause_of_a_member() {
    let (mut world, id) = World::member_recorded();
    world.pause(member(), true).unwrap();
    world.expect_notifications(&[]);
    world.answers_last();
    world.expect_notifications(&["member recording paused [p-1]"]);
    assert_eq!(
        reread(&world).member_recordings(),
        world.node_state.room(room(1)).unwrap().member_recordings()
    );
    // Without an answer it may be paused or not: both requests reach FreeSWITCH.
    world.pause(member(), false).unwrap();
    world.waits(10);
    world.pause(member(), true).unwrap();
    world.answers_last();
    world.expect_notifications(&[]);
    world.pause(member(), false).unwrap();
    world.answers_last();
    world.expect_notifications(&["member recording resumed [p-2]"]);
    assert_eq!(world.recorded_members()[0].recording, id);
}

#[test]
fn recording_of_a_member_stops_when_it_leaves() {
    let (mut world, id) = World::member_recorded();
    world.leave().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed [c-3]"]);
    assert_eq!(record_actions(&world), [RecordAction::Stop]);
    world.member_recording_ends(id, 900);
    world.expect_notifications(&["member recording stopped"]);
}

#[test]
fn stop_of_a_member_that_has_left_is_repeated_until_it_is_over() {
    let (mut world, _) = World::member_recorded();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left removed"]);
    world.refuses_last(&CommandError::Down {
        retry_after: Duration::from_secs(1),
    });
    world.waits(10);
    let stop = RecordAction::Stop;
    assert_eq!(record_actions(&world), [stop, stop]);
    world.expect_notifications(&[]);
    world.refuses_last(&CommandError::Refused(
        "Cannot stop record session!".to_owned(),
    ));
    world.expect_notifications(&["member recording stopped (synthesized)"]);
}

#[test]
fn recording_of_a_member_ends_with_its_call() {
    let (mut world, id) = World::member_recorded();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    world.notifications.clear();
    assert_eq!(record_actions(&world), [], "FreeSWITCH ends it by itself");
    world.member_recording_ends(id, 60);
    world.expect_notifications(&["member recording stopped"]);
    assert_eq!(world.shown(id).1, Some(Duration::from_millis(60)));
}

#[test]
fn recording_of_a_member_that_does_not_start_is_reported() {
    let mut world = World::joined();
    world.record_of(member()).unwrap();
    world.refuses_last(&CommandError::Refused("Cannot record session!".to_owned()));
    world.expect_notifications(&["member recording failed [r-1]"]);
    world.record_of(member()).unwrap();
    world.waits(10);
    world.expect_notifications(&["member recording failed [r-1]"]);
    let (start, stop) = (RecordAction::Start, RecordAction::Stop);
    assert_eq!(record_actions(&world), [start, start, stop]);
}

#[test]
fn list_of_a_channel_reports_recordings_whose_events_were_lost() {
    let mut world = World::joined();
    world.record_of(member()).unwrap();
    let list = |world: &mut World, is_recorded| {
        let listed: Vec<_> = world.recorded_members();
        let listed: Vec<_> = listed.into_iter().map(|m| (m, is_recorded)).collect();
        world.sequence += 1;
        let fence = world.sequence;
        world.with(|b, cx| b.apply_recorded_members(&listed, fence, cx));
    };
    list(&mut world, false);
    world.expect_notifications(&[]);
    list(&mut world, true);
    world.expect_notifications(&["member recording started [r-1] (synthesized)"]);
    list(&mut world, true);
    list(&mut world, false);
    world.expect_notifications(&["member recording stopped (synthesized)"]);
}

#[test]
fn deleted_room_ends_after_the_recordings_of_its_members() {
    let (mut world, id) = World::member_recorded();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.expect_notifications(&["left room_destroyed"]);
    world.member_recording_ends(id, 100);
    world.expect_notifications(&["member recording stopped", "destroyed"]);
    let (mut world, _) = World::member_recorded();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    world.notifications.clear();
    world.waits(10);
    world.expect_notifications(&["member recording stopped (synthesized)", "destroyed"]);
}

#[test]
fn recording_of_a_member_ends_with_its_core() {
    let (mut world, _) = World::member_recorded();
    world.with(|b, cx| b.core_changed(None, cx));
    world.expect_notifications(&[
        "left orphan (synthesized)",
        "member recording stopped (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
    ]);
}
