//! The recordings of a room: at most one of the room itself and one of each member. FreeSWITCH's own events report their
//! start and their end.
//!
//! FreeSWITCH answers `+OK` before it opens the file of a room's recording, so the answer proves nothing. The recording of a
//! room ends with its conference; that of a member is stopped when the member leaves.

use std::time::Duration;

use crate::ids::{CallId, CommandUid, OperationId, RecordingId};
use crate::time::Timestamp;

use super::media::Media;
use super::stamp::Sequence;

/// The maximum number of recordings of a room: the room stores the ids of all.
pub const MAX_RECORDINGS: usize = 1_000;

/// The maximum number of members of a room that are recorded at the same time.
pub const MAX_MEMBER_RECORDINGS: usize = 100;

/// A change that FreeSWITCH makes to a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordAction {
    /// Starts it.
    Start,
    /// Ends it.
    Stop,
    /// Pauses it.
    Pause,
    /// Resumes it.
    Resume,
}

impl RecordAction {
    /// Returns the word in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "record_start",
            Self::Stop => "record_stop",
            Self::Pause => "record_pause",
            Self::Resume => "record_resume",
        }
    }
}

/// A change of a recording, as its webhook reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordingChange {
    /// It started.
    Started,
    /// It ended, and its file exists.
    Stopped,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// It did not start.
    Failed(Option<RecordingFailure>),
}

/// The reason why a recording did not start, if FreeSWITCH was not asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordingFailure {
    /// Its announcement was not played to its end.
    Announcement,
    /// It was stopped before the end of its announcement.
    Stopped,
}

impl RecordingFailure {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announcement => "announcement",
            Self::Stopped => "stopped",
        }
    }
}

/// A request to pause or resume a recording that FreeSWITCH has not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PauseRequest {
    /// True pauses it.
    pub pause: bool,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The request expires then.
    pub deadline: Timestamp,
}

/// The pause of a recording.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordingPause {
    /// The time since which it is paused.
    pub since: Option<Timestamp>,
    /// The length of the pauses before that.
    pub total: Duration,
    /// The sequence of the last report.
    pub at: Sequence,
    /// An unconfirmed request.
    pub requested: Option<PauseRequest>,
    /// True if a request was not answered: it may have taken effect.
    pub uncertain: bool,
}

/// The status of the active recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordingStatus {
    /// Its announcement waits or plays; FreeSWITCH has no command yet.
    Announcing {
        /// The operation of the playback.
        operation: OperationId,
        /// The time that the start may take after the announcement.
        timeout: Duration,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Requested.
    Starting {
        /// The recording fails then.
        deadline: Timestamp,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Recording.
    Active,
    /// Recording, and requested to end.
    Stopping {
        /// The request is reverted then if the recording continues.
        deadline: Timestamp,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
}

/// The active recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Its id.
    pub id: RecordingId,
    /// The file on the node, which identifies the recording in commands and events.
    pub path: String,
    /// The status.
    pub status: RecordingStatus,
    /// The time of the request.
    pub created_at: Timestamp,
    /// The time of the start, once known.
    pub started_at: Option<Timestamp>,
    /// The sequence of the event that reported the start, or of the fence.
    pub since: Sequence,
    /// Its pause.
    pub pause: RecordingPause,
}

impl Recording {
    /// Returns the next deadline.
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.status {
            // The announcement has the deadlines of the playback.
            RecordingStatus::Announcing { .. } => None,
            RecordingStatus::Starting { deadline, .. }
            | RecordingStatus::Stopping { deadline, .. } => Some(*deadline),
            RecordingStatus::Active => self.pause.requested.as_ref().map(|r| r.deadline),
        }
    }

    /// Returns the operation of the announcement that it waits for.
    pub const fn announcement(&self) -> Option<OperationId> {
        match &self.status {
            RecordingStatus::Announcing { operation, .. } => Some(*operation),
            RecordingStatus::Starting { .. }
            | RecordingStatus::Active
            | RecordingStatus::Stopping { .. } => None,
        }
    }

    /// Returns true if it is paused.
    pub const fn is_paused(&self) -> bool {
        self.pause.since.is_some()
    }

    /// Returns the word in the API.
    pub const fn status_name(&self) -> &'static str {
        match (&self.status, self.is_paused()) {
            (RecordingStatus::Announcing { .. }, _) => "announcing",
            (RecordingStatus::Starting { .. }, _) => "starting",
            (RecordingStatus::Active, false) => "recording",
            (RecordingStatus::Active, true) => "paused",
            (RecordingStatus::Stopping { .. }, _) => "stopping",
        }
    }

    /// Returns the time for which it was not paused, from `start` until `now`.
    pub fn unpaused(&self, start: Timestamp, now: Timestamp) -> Duration {
        let current = self.pause.since.map(|since| now.since(since));
        let paused = self.pause.total + current.unwrap_or_default();
        now.since(start).saturating_sub(paused)
    }
}

/// An input of the recording of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordInput {
    /// A request to start; the command goes out.
    Start {
        /// The recorded member; `None` for the room itself.
        call: Option<CallId>,
        /// Its id.
        id: RecordingId,
        /// The file on the node.
        path: String,
        /// The operation and the sound that precede it, for the room itself.
        announcement: Option<(OperationId, Media)>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The time that the start may take.
        timeout: Duration,
    },
    /// A request to pause or resume; the command goes out.
    Pause {
        /// The recorded member; `None` for the room itself.
        call: Option<CallId>,
        /// The request.
        request: PauseRequest,
    },
    /// A request to end; the command goes out.
    Stop {
        /// The recorded member; `None` for the room itself.
        call: Option<CallId>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The request is reverted then.
        deadline: Timestamp,
    },
    /// The recording started: `start-recording`, or a snapshot that shows it.
    Started {
        /// The recording.
        id: RecordingId,
        /// True if the event carries an `Error`.
        failed: bool,
        /// `Event-Sequence`, or that of the fence.
        sequence: Sequence,
        /// True if derived from a snapshot.
        synthesized: bool,
    },
    /// The recording ended: `stop-recording`, or two snapshots that lack it.
    Stopped {
        /// The recording.
        id: RecordingId,
        /// The length, if FreeSWITCH reports it.
        length: Option<Duration>,
        /// True if derived from a snapshot.
        synthesized: bool,
    },
    /// The recording was paused or resumed: `pause-recording`, `resume-recording`, or a snapshot; for a member FreeSWITCH's
    /// answer, because no event reports it.
    Paused {
        /// The recording.
        id: RecordingId,
        /// True if it is paused.
        paused: bool,
        /// `Event-Sequence`, or that of the fence; `None` for an answer.
        sequence: Option<Sequence>,
        /// True if derived from a snapshot.
        synthesized: bool,
    },
    /// FreeSWITCH refused to pause or resume it.
    PauseRefused {
        /// The recording.
        id: RecordingId,
        /// The request.
        pause: bool,
    },
    /// FreeSWITCH refused to start it.
    StartRefused {
        /// The recording.
        id: RecordingId,
    },
    /// FreeSWITCH refused to end it.
    StopRefused {
        /// The recording.
        id: RecordingId,
    },
}

/// A recording as readers see it, also after its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingView {
    /// The file on the node.
    pub path: String,
    /// The state.
    pub state: RecordingState,
    /// The time of the request.
    pub created_at: Timestamp,
    /// The time of the start.
    pub started_at: Option<Timestamp>,
    /// The time of the end.
    pub ended_at: Option<Timestamp>,
    /// The length, once it is over.
    pub length: Option<Duration>,
}

/// The state of a recording, also after its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordingState {
    /// Requested.
    Starting,
    /// Recording.
    Recording,
    /// Ended; the file exists.
    Ended,
    /// Never started.
    Failed,
}

impl RecordingState {
    /// Returns the word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recording => "recording",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Returns true if the state is final.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Starting | Self::Recording => false,
            Self::Ended | Self::Failed => true,
        }
    }
}
