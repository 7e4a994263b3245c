//! Transitions of a room's recording.

use crate::ids::RecordingId;
use crate::room::effect::{RoomCommand, RoomEvent};
use crate::room::recording::{
    RecordInput, Recording, RecordingState, RecordingStatus, RecordingView,
};
use std::time::Duration;

use super::Transition;

impl Transition<'_> {
    pub(super) fn record(&mut self, input: RecordInput) {
        match input {
            RecordInput::Start {
                id,
                path,
                command_uid,
                deadline,
            } => {
                if self.room.recording.is_some() || !self.can_play() {
                    return;
                }
                self.room.recordings.push(id);
                self.room.recording = Some(Recording {
                    id,
                    path: path.clone(),
                    status: RecordingStatus::Starting {
                        deadline,
                        command_uid,
                    },
                    created_at: self.now,
                    started_at: None,
                    since: 0,
                });
                self.show_recording(RecordingState::Starting, None);
                self.command(RoomCommand::StartRecording {
                    recording: id,
                    path,
                });
            }
            RecordInput::Stop {
                command_uid,
                deadline,
            } => {
                if let Some(recording) = &mut self.room.recording {
                    recording.status = RecordingStatus::Stopping {
                        deadline,
                        command_uid,
                    };
                    let (id, path) = (recording.id, recording.path.clone());
                    self.room.changes.head = true;
                    self.command(RoomCommand::StopRecording {
                        recording: id,
                        path,
                    });
                }
            }
            RecordInput::Started { id, failed, .. } if failed => self.not_recorded(id, false),
            RecordInput::Started {
                id,
                sequence,
                synthesized,
                ..
            } => self.recorded(id, sequence, synthesized),
            RecordInput::Stopped {
                id,
                length,
                synthesized,
            } => {
                if self.room.recording.as_ref().is_some_and(|r| r.id == id) {
                    self.recording_over(length, synthesized);
                    self.finish_if_empty();
                }
            }
            RecordInput::StartRefused { id } => self.not_recorded(id, true),
            RecordInput::StopRefused { id } => {
                if let Some(recording) = &mut self.room.recording
                    && recording.id == id
                    && matches!(recording.status, RecordingStatus::Stopping { .. })
                {
                    recording.status = RecordingStatus::Active;
                    self.room.changes.head = true;
                }
            }
        }
    }

    pub(super) fn recorded(&mut self, id: RecordingId, sequence: u64, synthesized: bool) {
        let now = self.now;
        let Some(recording) = self.room.recording.as_mut().filter(|r| r.id == id) else {
            return;
        };
        recording.since = recording.since.max(sequence);
        if recording.started_at.is_some() {
            return;
        }
        recording.started_at = Some(now);
        let mut command_uid = None;
        if let RecordingStatus::Starting {
            command_uid: uid, ..
        } = &mut recording.status
        {
            command_uid = uid.take();
            recording.status = RecordingStatus::Active;
        }
        self.show_recording(RecordingState::Recording, None);
        let event = RoomEvent::RecordingStarted { recording: id };
        self.notify(event, command_uid, synthesized);
    }

    /// Ends a recording that did not start. A refusal counts only if no event reported the start; an event may come
    /// late.
    pub(super) fn not_recorded(&mut self, id: RecordingId, refused: bool) {
        let Some(recording) = self.room.recording.as_ref().filter(|r| r.id == id) else {
            return;
        };
        if refused && recording.started_at.is_some() {
            return;
        }
        let command_uid = match &recording.status {
            RecordingStatus::Starting { command_uid, .. }
            | RecordingStatus::Stopping { command_uid, .. } => command_uid.clone(),
            RecordingStatus::Active => None,
        };
        self.show_recording(RecordingState::Failed, None);
        self.room.recording = None;
        let event = RoomEvent::RecordingFailed { recording: id };
        self.notify(event, command_uid, false);
        self.finish_if_empty();
    }

    /// Ends the recording, after a command or with its conference.
    pub(super) fn recording_over(&mut self, length: Option<Duration>, synthesized: bool) {
        let Some(id) = self.room.recording.as_ref().map(|r| r.id) else {
            return;
        };
        // An event reports its end, so it had started.
        if length.is_some() {
            self.recorded(id, 0, true);
        }
        let Some(recording) = &self.room.recording else {
            return;
        };
        let Some(started) = recording.started_at else {
            return self.not_recorded(id, false);
        };
        let command_uid = match &recording.status {
            RecordingStatus::Stopping { command_uid, .. } => command_uid.clone(),
            RecordingStatus::Starting { .. } | RecordingStatus::Active => None,
        };
        let length = length.unwrap_or_else(|| self.now.since(started));
        self.show_recording(RecordingState::Ended, Some(length));
        self.room.recording = None;
        let event = RoomEvent::RecordingStopped { recording: id };
        self.notify(event, command_uid, synthesized);
    }

    pub(super) fn show_recording(&mut self, state: RecordingState, length: Option<Duration>) {
        if let Some(recording) = &self.room.recording {
            let view = RecordingView {
                path: recording.path.clone(),
                state,
                created_at: recording.created_at,
                started_at: recording.started_at,
                ended_at: state.is_over().then_some(self.now),
                length,
            };
            self.room.changes.recordings.insert(recording.id, view);
        }
    }

    pub(super) fn recording_deadline(&mut self) {
        let now = self.now;
        let Some(recording) = &mut self.room.recording else {
            return;
        };
        if recording.deadline().is_none_or(|at| at > now) {
            return;
        }
        let (id, path) = (recording.id, recording.path.clone());
        if recording.started_at.is_some() {
            // Its end was not confirmed, so it still runs.
            recording.status = RecordingStatus::Active;
            self.room.changes.head = true;
        } else {
            // It may start after all, and no state would show it.
            self.command(RoomCommand::StopRecording {
                recording: id,
                path,
            });
            self.not_recorded(id, false);
        }
    }
}
