//! Recordings of rooms and of members.

use crate::entity::Target;
use crate::ids::{CallId, ChannelId, OperationId, RecordingId, RoomId};
use crate::room::playback::ROOM_LIMITS;
use crate::room::recording::{MAX_MEMBER_RECORDINGS, MAX_RECORDINGS};
use crate::room::{
    Media, PauseRequest, RecordAction, RecordInput, Recording, RecordingStatus, RoomInput,
    RoomState,
};
use crate::switch_command::{SwitchAction, SwitchCommand};

use crate::intent::{
    Accepted, Decision, PauseRecording, RecordingAccepted, Refusal, StartRecording,
};

use super::intent::{Request, room};
use super::{Context, NodeState};

/// A recording of a member that FreeSWITCH should list with the member's channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordedMember {
    /// The channel.
    pub channel: ChannelId,
    /// The room.
    pub room: RoomId,
    /// The recording.
    pub recording: RecordingId,
}

impl NodeState {
    /// Returns the room of a target, and the member if it names one.
    fn recorded(&self, target: Target) -> Result<(&RoomState, Option<CallId>), Refusal> {
        let id = room(target)?;
        let state = self.room(id).ok_or(Refusal::RoomNotFound)?;
        if let Some(call) = target.call()
            && self.joined(call)? != id
        {
            return Err(Refusal::NotInRoom);
        }
        Ok((state, target.call()))
    }

    fn active_recording(&self, target: Target) -> Result<&Recording, Refusal> {
        let (room, call) = self.recorded(target)?;
        let recording = room.recording_of(call);
        recording.ok_or_else(|| not_recording(call))
    }

    /// Returns what a room hears before its recording begins.
    fn announcement(&self, target: Target, start: &StartRecording) -> Option<Media> {
        let Target::Room(room) = target else {
            return None;
        };
        let settings = &self.room(room)?.registration()?.details.settings;
        let announcement = start.announcement.as_ref();
        let announcement = announcement.or(settings.announce_recording.as_ref());
        announcement.cloned().map(Media::from)
    }

    pub(super) fn check_start_recording(
        &self,
        target: Target,
        start: &StartRecording,
    ) -> Result<Decision, Refusal> {
        let (state, call) = self.recorded(target)?;
        if state.recording_of(call).is_some() {
            return Err(match call {
                None => Refusal::AlreadyRecording,
                Some(_) => Refusal::AlreadyRecordingMember,
            });
        }
        // FreeSWITCH has no conference to record.
        if state.present() == 0 {
            return Err(Refusal::NoMembers);
        }
        // Nobody hears the members yet, and neither must a file.
        if state.is_waiting() && call.is_none() {
            return Err(Refusal::WaitsForModerator);
        }
        let recorded_members = state.member_recordings().len();
        if state.recordings().len() >= MAX_RECORDINGS
            || (call.is_some() && recorded_members >= MAX_MEMBER_RECORDINGS)
        {
            return Err(Refusal::TooManyRecordings);
        }
        let announcement = self.announcement(target, start);
        let has_room = |media: &Media| {
            let media = std::slice::from_ref(media);
            state.playback().has_room_for(media, ROOM_LIMITS)
        };
        if !announcement.as_ref().is_none_or(has_room) {
            return Err(Refusal::TooMuchPlaying);
        }
        Ok(Decision::Act)
    }

    pub(super) fn start_recording(
        &mut self,
        by: Request,
        start: StartRecording,
        cx: &mut Context<'_>,
    ) -> Result<RecordingAccepted, Refusal> {
        let room = by.room()?;
        let announcement = self.announcement(by.target, &start);
        let announcement = announcement.map(|media| (OperationId::new(cx.ids.next_uuid()), media));
        let id = RecordingId::generate(room.node(), cx.ids.next_uuid());
        let input = RecordInput::Start {
            call: by.member(),
            id,
            path: format!("{}/{id}.wav", self.rules.recordings.trim_end_matches('/')),
            announcement,
            command_uid: by.command_uid,
            timeout: self.rules.timeouts.record,
        };
        self.room_input(room, RoomInput::Record(input), cx);
        Ok(RecordingAccepted { recording: id })
    }

    pub(super) fn check_stop_recording(&self, target: Target) -> Result<Decision, Refusal> {
        let recording = self.active_recording(target)?;
        Ok(match recording.status {
            RecordingStatus::Announcing { .. }
            | RecordingStatus::Starting { .. }
            | RecordingStatus::Active => Decision::Act,
            RecordingStatus::Stopping { .. } => {
                let recording = recording.id;
                Decision::NoChange(Accepted::StopRecording(RecordingAccepted { recording }))
            }
        })
    }

    pub(super) fn stop_recording(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<RecordingAccepted, Refusal> {
        let room = by.room()?;
        let call = by.member();
        let state = self.room(room);
        let recording = state.and_then(|state| state.recording_of(call));
        let recording = recording.ok_or_else(|| not_recording(call))?.id;
        let input = RecordInput::Stop {
            call,
            command_uid: by.command_uid,
            deadline: cx.now + self.rules.timeouts.record,
        };
        self.room_input(room, RoomInput::Record(input), cx);
        Ok(RecordingAccepted { recording })
    }

    pub(super) fn check_pause_recording(
        &self,
        target: Target,
        PauseRecording { pause }: PauseRecording,
    ) -> Result<Decision, Refusal> {
        let recording = self.active_recording(target)?;
        match recording.status {
            // FreeSWITCH opens the file first; until then it has nothing to pause.
            RecordingStatus::Announcing { .. } | RecordingStatus::Starting { .. } => {
                return Err(Refusal::RecordingStarting);
            }
            RecordingStatus::Stopping { .. } => return Err(not_recording(target.call())),
            RecordingStatus::Active => {}
        }
        let wanted = match &recording.pause.requested {
            Some(request) => request.pause == pause,
            None => recording.is_paused() == pause && !recording.pause.uncertain,
        };
        if !wanted {
            return Ok(Decision::Act);
        }
        let recording = recording.id;
        Ok(Decision::NoChange(Accepted::PauseRecording(
            RecordingAccepted { recording },
        )))
    }

    pub(super) fn pause_recording(
        &mut self,
        by: Request,
        PauseRecording { pause }: PauseRecording,
        cx: &mut Context<'_>,
    ) -> Result<RecordingAccepted, Refusal> {
        let room = by.room()?;
        let call = by.member();
        let state = self.room(room);
        let recording = state.and_then(|state| state.recording_of(call));
        let recording = recording.ok_or_else(|| not_recording(call))?.id;
        let request = PauseRequest {
            pause,
            command_uid: by.command_uid,
            deadline: cx.now + self.rules.timeouts.record,
        };
        let input = RecordInput::Pause { call, request };
        self.room_input(room, RoomInput::Record(input), cx);
        Ok(RecordingAccepted { recording })
    }

    /// Applies an event of a member's recording, which can come after the member has left.
    pub(super) fn member_recorded(
        &mut self,
        room: RoomId,
        input: RecordInput,
        cx: &mut Context<'_>,
    ) {
        if self.rooms.contains_key(&room) {
            self.room_input(room, RoomInput::Record(input), cx);
        } else {
            cx.out.ignored += 1;
        }
    }

    /// Applies FreeSWITCH's answer to a command of a member's recording: no event confirms a pause.
    pub(super) fn recording_answered(&mut self, command: &SwitchCommand, cx: &mut Context<'_>) {
        let SwitchAction::Record {
            recording, action, ..
        } = &command.action
        else {
            return;
        };
        let paused = match action {
            RecordAction::Pause => true,
            RecordAction::Resume => false,
            RecordAction::Start | RecordAction::Stop => return,
        };
        if let Target::Member { room, .. } = command.target {
            let input = RecordInput::Paused {
                id: *recording,
                paused,
                sequence: None,
                synthesized: false,
            };
            self.member_recorded(room, input, cx);
        }
    }

    /// Returns the recordings of members that FreeSWITCH should list with their channels.
    pub fn recorded_members(&self) -> Vec<RecordedMember> {
        let rooms = self
            .rooms()
            .filter(|room| !room.member_recordings().is_empty());
        rooms
            .flat_map(|room| {
                let recordings = room.member_recordings().iter();
                recordings.map(|(call, recording)| RecordedMember {
                    channel: call.channel(),
                    room: room.id(),
                    recording: recording.id,
                })
            })
            .collect()
    }

    /// Applies FreeSWITCH's lists of the recordings of these members, requested after this fence: each with true if the
    /// channel is recorded. FreeSWITCH reads the list from the channel itself, so one list is enough.
    pub fn apply_recorded_members(
        &mut self,
        listed: &[(RecordedMember, bool)],
        fence: u64,
        cx: &mut Context<'_>,
    ) {
        let before = cx.out.notifications.len();
        for (member, is_recorded) in listed {
            let RecordedMember {
                channel,
                room,
                recording: id,
            } = *member;
            let call = CallId::new(self.node, channel);
            let known = self.room(room);
            let recording = known.and_then(|room| room.member_recordings().get(&call));
            let Some(recording) = recording.filter(|recording| recording.id == id) else {
                continue;
            };
            let input = if *is_recorded {
                RecordInput::Started {
                    id,
                    failed: false,
                    sequence: fence,
                    synthesized: true,
                }
            } else if recording.started_at.is_some() && recording.since < fence {
                RecordInput::Stopped {
                    id,
                    length: None,
                    synthesized: true,
                }
            } else {
                continue;
            };
            self.room_input(room, RoomInput::Record(input), cx);
        }
        cx.out.revealed.extend(before..cx.out.notifications.len());
    }
}

const fn not_recording(call: Option<CallId>) -> Refusal {
    match call {
        None => Refusal::NotRecording,
        Some(_) => Refusal::NotRecordingMember,
    }
}
