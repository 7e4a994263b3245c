//! What callers want recorded.

use crate::ids::{AppId, CommandUid, RecordingId, RoomId};
use crate::room::recording::MOST_RECORDINGS;
use crate::room::{RecordInput, RecordingStatus, RoomInput};

use crate::reconciler::intent::{Accepted, Refusal};

use super::{Belief, Cx};

impl Belief {
    pub(super) fn record_start(
        &mut self,
        room: RoomId,
        app: &AppId,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        if state.recording().is_some() {
            return Err(Refusal::AlreadyRecording);
        }
        // FreeSWITCH has no conference then to record.
        if state.present() == 0 {
            return Err(Refusal::NoMembers);
        }
        if state.recordings().len() >= MOST_RECORDINGS {
            return Err(Refusal::TooManyRecordings);
        }
        let id = RecordingId::fresh(room.node(), cx.ids.uuid());
        let input = RecordInput::Start {
            id,
            path: format!("{}/{id}.wav", self.rules.recordings.trim_end_matches('/')),
            command_uid,
            deadline: cx.now + self.rules.patience.record,
        };
        self.room_input(room, RoomInput::Record(input), cx);
        Ok(Accepted::Recording { recording: id })
    }

    pub(super) fn record_stop(
        &mut self,
        room: RoomId,
        app: &AppId,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let recording = self
            .room(room)
            .and_then(|state| state.recording())
            .ok_or(Refusal::NotRecording)?;
        let id = recording.id;
        if !matches!(recording.status, RecordingStatus::Stopping { .. }) {
            let input = RecordInput::Stop {
                command_uid,
                deadline: cx.now + self.rules.patience.record,
            };
            self.room_input(room, RoomInput::Record(input), cx);
        }
        Ok(Accepted::RecordingStops { recording: id })
    }
}
