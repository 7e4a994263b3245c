//! Recordings of rooms.

use crate::ids::{RecordingId, RoomId};
use crate::room::recording::MAX_RECORDINGS;
use crate::room::{RecordInput, RecordingStatus, RoomInput};

use crate::intent::{Accepted, Decision, RecordingAccepted, Refusal};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn check_start_recording(&self, room: RoomId) -> Result<Decision, Refusal> {
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        if state.recording().is_some() {
            return Err(Refusal::AlreadyRecording);
        }
        // FreeSWITCH has no conference to record.
        if state.present() == 0 {
            return Err(Refusal::NoMembers);
        }
        if state.recordings().len() >= MAX_RECORDINGS {
            return Err(Refusal::TooManyRecordings);
        }
        Ok(Decision::Act)
    }

    pub(super) fn start_recording(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<RecordingAccepted, Refusal> {
        let room = by.room()?;
        let id = RecordingId::generate(room.node(), cx.ids.next_uuid());
        let input = RecordInput::Start {
            id,
            path: format!("{}/{id}.wav", self.rules.recordings.trim_end_matches('/')),
            command_uid: by.command_uid,
            deadline: cx.now + self.rules.timeouts.record,
        };
        self.room_input(room, RoomInput::Record(input), cx);
        Ok(RecordingAccepted { recording: id })
    }

    pub(super) fn check_stop_recording(&self, room: RoomId) -> Result<Decision, Refusal> {
        let recording = self.room(room).and_then(|state| state.recording());
        let recording = recording.ok_or(Refusal::NotRecording)?;
        Ok(match recording.status {
            RecordingStatus::Starting { .. } | RecordingStatus::Active => Decision::Act,
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
        let recording = self.room(room).and_then(|state| state.recording());
        let recording = recording.ok_or(Refusal::NotRecording)?.id;
        let input = RecordInput::Stop {
            command_uid: by.command_uid,
            deadline: cx.now + self.rules.timeouts.record,
        };
        self.room_input(room, RoomInput::Record(input), cx);
        Ok(RecordingAccepted { recording })
    }
}
