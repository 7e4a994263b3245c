//! Transitions of the recordings of a room and of its members.

use std::time::Duration;

use crate::ids::{CallId, CommandUid, OperationId, RecordingId};
use crate::room::effect::{LeftReason, RoomCommand, RoomEvent};
use crate::room::media::Media;
use crate::room::playback::PlayInput;
use crate::room::recording::{
    PauseRequest, RecordAction, RecordInput, Recording, RecordingChange, RecordingFailure,
    RecordingPause, RecordingState, RecordingStatus, RecordingView,
};
use crate::time::Timestamp;

use super::Transition;
use super::ending::ENDING;

impl Transition<'_> {
    pub(super) fn record(&mut self, input: RecordInput) {
        match input {
            RecordInput::Start {
                call,
                id,
                path,
                announcement,
                command_uid,
                timeout,
            } => {
                let status = match &announcement {
                    Some((operation, _)) => RecordingStatus::Announcing {
                        operation: *operation,
                        timeout,
                        command_uid,
                    },
                    None => RecordingStatus::Starting {
                        deadline: self.now + timeout,
                        command_uid,
                    },
                };
                self.start_recording(call, id, path, status, announcement);
            }
            RecordInput::Stop {
                call,
                command_uid,
                deadline,
            } => self.stop_recording(call, command_uid, deadline),
            RecordInput::Pause { call, request } => self.request_pause(call, request),
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
                self.recording_over(id, length, synthesized);
                self.finish_if_empty();
            }
            RecordInput::Paused {
                id,
                paused,
                sequence,
                synthesized,
            } => self.paused(id, paused, sequence, synthesized),
            RecordInput::PauseRefused { id, pause } => {
                if let Some((_, recording)) = self.recording(id)
                    && recording
                        .pause
                        .requested
                        .take_if(|request| request.pause == pause)
                        .is_some()
                {
                    self.room.changes.head = true;
                }
            }
            RecordInput::StartRefused { id } => self.not_recorded(id, true),
            RecordInput::StopRefused { id } => self.stop_refused(id),
        }
    }

    /// Returns the active recording with this id, and its member unless it records the room.
    fn recording(&mut self, id: RecordingId) -> Option<(Option<CallId>, &mut Recording)> {
        if let Some(recording) = self.room.recording.as_mut().filter(|r| r.id == id) {
            return Some((None, recording));
        }
        let mut recordings = self.room.member_recordings.iter_mut();
        recordings
            .find(|(_, recording)| recording.id == id)
            .map(|(call, recording)| (Some(*call), recording))
    }

    /// Returns the active recording of a member, or of the room.
    fn recording_of(&mut self, call: Option<CallId>) -> Option<&mut Recording> {
        match call {
            None => self.room.recording.as_mut(),
            Some(call) => self.room.member_recordings.get_mut(&call),
        }
    }

    fn start_recording(
        &mut self,
        call: Option<CallId>,
        id: RecordingId,
        path: String,
        status: RecordingStatus,
        announcement: Option<(OperationId, Media)>,
    ) {
        if self.recording_of(call).is_some() || !self.can_play() {
            return;
        }
        let recording = Recording {
            id,
            path: path.clone(),
            status,
            created_at: self.now,
            started_at: None,
            since: 0,
            pause: RecordingPause::default(),
        };
        self.room.recordings.push(id);
        match call {
            None => self.room.recording = Some(recording),
            Some(call) => {
                self.room.member_recordings.insert(call, recording);
            }
        }
        self.show_recording(id, RecordingState::Starting, None);
        match announcement {
            Some((operation, media)) => {
                self.apply_playback(PlayInput::Announce { operation, media });
            }
            None => self.record_command(call, id, path, RecordAction::Start),
        }
    }

    /// Begins the recording whose announcement has been played, or ends it because it has not been played.
    pub(super) fn announced(&mut self, operation: OperationId, played: bool) {
        let (now, can_start) = (self.now, played && self.can_play());
        let Some(recording) = self.room.recording.as_mut() else {
            return;
        };
        let id = recording.id;
        match &mut recording.status {
            RecordingStatus::Announcing {
                operation: own,
                timeout,
                command_uid,
            } if *own == operation => {
                if !can_start {
                    return self.not_recorded(id, false);
                }
                recording.status = RecordingStatus::Starting {
                    deadline: now + *timeout,
                    command_uid: command_uid.take(),
                };
                let path = recording.path.clone();
                self.room.changes.head = true;
                self.record_command(None, id, path, RecordAction::Start);
            }
            RecordingStatus::Announcing { .. }
            | RecordingStatus::Starting { .. }
            | RecordingStatus::Active
            | RecordingStatus::Stopping { .. } => {}
        }
    }

    fn stop_recording(
        &mut self,
        call: Option<CallId>,
        command_uid: Option<CommandUid>,
        deadline: Timestamp,
    ) {
        let Some(recording) = self.recording_of(call) else {
            return;
        };
        if let RecordingStatus::Announcing { operation, .. } = recording.status {
            let id = recording.id;
            self.fail_recording(id, Some(RecordingFailure::Stopped), command_uid);
            return self.apply_playback(PlayInput::Withdraw(operation));
        }
        recording.status = RecordingStatus::Stopping {
            deadline,
            command_uid,
        };
        recording.pause.requested = None;
        let (id, path) = (recording.id, recording.path.clone());
        self.room.changes.head = true;
        self.record_command(call, id, path, RecordAction::Stop);
    }

    fn request_pause(&mut self, call: Option<CallId>, request: PauseRequest) {
        let Some(recording) = self.recording_of(call) else {
            return;
        };
        let action = if request.pause {
            RecordAction::Pause
        } else {
            RecordAction::Resume
        };
        recording.pause.requested = Some(request);
        let (id, path) = (recording.id, recording.path.clone());
        self.room.changes.head = true;
        self.record_command(call, id, path, action);
    }

    fn record_command(
        &mut self,
        call: Option<CallId>,
        recording: RecordingId,
        path: String,
        action: RecordAction,
    ) {
        self.command(RoomCommand::Record {
            call,
            recording,
            path,
            action,
        });
    }

    fn notify_recording(
        &mut self,
        (call, recording): (Option<CallId>, RecordingId),
        change: RecordingChange,
        command_uid: Option<CommandUid>,
        synthesized: bool,
    ) {
        let event = RoomEvent::Recording {
            call,
            recording,
            change,
        };
        self.notify(event, command_uid, synthesized);
    }

    fn recorded(&mut self, id: RecordingId, sequence: u64, synthesized: bool) {
        let now = self.now;
        let Some((call, recording)) = self.recording(id) else {
            return;
        };
        recording.since = recording.since.max(sequence);
        let is_announcing = matches!(recording.status, RecordingStatus::Announcing { .. });
        if recording.started_at.is_some() || is_announcing {
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
        self.show_recording(id, RecordingState::Recording, None);
        let change = RecordingChange::Started;
        self.notify_recording((call, id), change, command_uid, synthesized);
    }

    /// Applies a report of the pause. A report with a sequence counts above the last one; an answer comes in the order
    /// of the commands.
    fn paused(&mut self, id: RecordingId, paused: bool, sequence: Option<u64>, synthesized: bool) {
        let now = self.now;
        let Some((call, recording)) = self.recording(id) else {
            return;
        };
        if sequence.is_some_and(|sequence| sequence <= recording.pause.at) {
            return;
        }
        let pause = &mut recording.pause;
        pause.at = sequence.unwrap_or(pause.at);
        let was_uncertain = std::mem::take(&mut pause.uncertain);
        let request = pause.requested.take_if(|request| request.pause == paused);
        let has_changed = paused != pause.since.is_some();
        match pause.since {
            None if paused => pause.since = Some(now),
            Some(since) if !paused => {
                pause.total += now.since(since);
                pause.since = None;
            }
            None | Some(_) => {}
        }
        if !has_changed && !was_uncertain && request.is_none() {
            return;
        }
        self.room.changes.head = true;
        if has_changed {
            let command_uid = request.and_then(|request| request.command_uid);
            let change = if paused {
                RecordingChange::Paused
            } else {
                RecordingChange::Resumed
            };
            self.updated();
            self.notify_recording((call, id), change, command_uid, synthesized);
        }
    }

    /// Ends a recording that did not start. A refusal counts only if no event reported the start; an event may come
    /// late.
    fn not_recorded(&mut self, id: RecordingId, refused: bool) {
        let Some((_, recording)) = self.recording(id) else {
            return;
        };
        if refused && recording.started_at.is_some() {
            return;
        }
        let (reason, command_uid) = match &recording.status {
            RecordingStatus::Announcing { command_uid, .. } => {
                (Some(RecordingFailure::Announcement), command_uid.clone())
            }
            RecordingStatus::Starting { command_uid, .. }
            | RecordingStatus::Stopping { command_uid, .. } => (None, command_uid.clone()),
            RecordingStatus::Active => (None, None),
        };
        self.fail_recording(id, reason, command_uid);
    }

    fn fail_recording(
        &mut self,
        id: RecordingId,
        reason: Option<RecordingFailure>,
        command_uid: Option<CommandUid>,
    ) {
        let Some((call, _)) = self.recording(id) else {
            return;
        };
        self.show_recording(id, RecordingState::Failed, None);
        self.drop_recording(call);
        let change = RecordingChange::Failed(reason);
        self.notify_recording((call, id), change, command_uid, false);
        self.finish_if_empty();
    }

    fn drop_recording(&mut self, call: Option<CallId>) {
        match call {
            None => self.room.recording = None,
            Some(call) => {
                self.room.member_recordings.remove(&call);
            }
        }
    }

    fn stop_refused(&mut self, id: RecordingId) {
        let Some((call, recording)) = self.recording(id) else {
            return;
        };
        if !matches!(recording.status, RecordingStatus::Stopping { .. }) {
            return;
        }
        let has_left = call.is_some_and(|call| !self.room.members.contains_key(&call));
        // The recording of a member that has left must end: the command is repeated at its deadline.
        if !has_left && let Some((_, recording)) = self.recording(id) {
            recording.status = RecordingStatus::Active;
            self.room.changes.head = true;
        }
    }

    /// Ends the recording of the room: its conference is over.
    pub(super) fn room_recording_over(&mut self) {
        if let Some(id) = self.room.recording.as_ref().map(|r| r.id) {
            self.recording_over(id, None, true);
        }
    }

    /// Ends all recordings: the room is over.
    pub(super) fn all_recordings_over(&mut self) {
        self.room_recording_over();
        let members: Vec<RecordingId> =
            self.room.member_recordings.values().map(|r| r.id).collect();
        for id in members {
            self.recording_over(id, None, true);
        }
    }

    /// Ends the recording of a member that has left. FreeSWITCH records a channel wherever it goes, until it hangs up.
    pub(super) fn member_recording_over(&mut self, call: CallId, reason: LeftReason) {
        let deadline = self.now + ENDING;
        let Some(recording) = self.room.member_recordings.get_mut(&call) else {
            return;
        };
        let id = recording.id;
        match reason {
            LeftReason::Orphan => self.recording_over(id, None, true),
            // FreeSWITCH ends it, and reports that.
            LeftReason::Hangup => {
                recording.status = RecordingStatus::Stopping {
                    deadline,
                    command_uid: None,
                };
                recording.pause.requested = None;
                self.room.changes.head = true;
            }
            LeftReason::Removed
            | LeftReason::Moved
            | LeftReason::Transferred
            | LeftReason::RoomDestroyed
            | LeftReason::Timeout
            | LeftReason::Silence => self.stop_recording(Some(call), None, deadline),
        }
    }

    /// Ends a recording, after a command or with its conference or its call.
    fn recording_over(&mut self, id: RecordingId, length: Option<Duration>, synthesized: bool) {
        // An event reports its end, so it had started.
        if length.is_some() {
            self.recorded(id, 0, true);
        }
        let now = self.now;
        let Some((call, recording)) = self.recording(id) else {
            return;
        };
        let Some(started) = recording.started_at else {
            return self.not_recorded(id, false);
        };
        let command_uid = match &recording.status {
            RecordingStatus::Stopping { command_uid, .. } => command_uid.clone(),
            RecordingStatus::Announcing { .. }
            | RecordingStatus::Starting { .. }
            | RecordingStatus::Active => None,
        };
        // The file of a room has no gap for a pause; that of a member has silence.
        let length = length.unwrap_or_else(|| match call {
            None => recording.unpaused(started, now),
            Some(_) => now.since(started),
        });
        self.show_recording(id, RecordingState::Ended, Some(length));
        self.drop_recording(call);
        let change = RecordingChange::Stopped;
        self.notify_recording((call, id), change, command_uid, synthesized);
    }

    fn show_recording(&mut self, id: RecordingId, state: RecordingState, length: Option<Duration>) {
        let now = self.now;
        let Some((_, recording)) = self.recording(id) else {
            return;
        };
        let view = RecordingView {
            path: recording.path.clone(),
            state,
            created_at: recording.created_at,
            started_at: recording.started_at,
            ended_at: state.is_over().then_some(now),
            length,
        };
        self.room.changes.recordings.insert(id, view);
    }

    pub(super) fn recording_deadlines(&mut self) {
        let now = self.now;
        let is_due = |recording: &Recording| recording.deadline().is_some_and(|at| at <= now);
        let mut due: Vec<Option<CallId>> = Vec::new();
        if self.room.recording.as_ref().is_some_and(is_due) {
            due.push(None);
        }
        let members = self.room.member_recordings.iter();
        due.extend(
            members
                .filter(|(_, r)| is_due(r))
                .map(|(call, _)| Some(*call)),
        );
        for call in due {
            self.recording_deadline(call);
        }
    }

    fn recording_deadline(&mut self, call: Option<CallId>) {
        let now = self.now;
        let has_left = call.is_some_and(|call| !self.room.members.contains_key(&call));
        let Some(recording) = self.recording_of(call) else {
            return;
        };
        let (id, path) = (recording.id, recording.path.clone());
        let has_started = recording.started_at.is_some();
        match recording.status {
            RecordingStatus::Announcing { .. } => {}
            RecordingStatus::Active => {
                recording.pause.requested = None;
                recording.pause.uncertain = true;
                self.room.changes.head = true;
            }
            // It must not go on outside of the room. The command has no effect on a recording that is over.
            RecordingStatus::Stopping { .. } if has_left && has_started => {
                self.stop_recording(call, None, now + ENDING);
            }
            // Its end was not confirmed, so it still runs.
            RecordingStatus::Starting { .. } | RecordingStatus::Stopping { .. } if has_started => {
                recording.status = RecordingStatus::Active;
                self.room.changes.head = true;
            }
            RecordingStatus::Starting { .. } | RecordingStatus::Stopping { .. } => {
                // It may start after all, and no state would show it.
                self.record_command(call, id, path, RecordAction::Stop);
                self.not_recorded(id, false);
            }
        }
    }
}
