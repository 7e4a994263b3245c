//! The recording of a room: at most one at a time. FreeSWITCH's own events report its start and its end.
//!
//! FreeSWITCH answers `+OK` before it opens the file, so the answer proves nothing. A recording ends with its conference.

use std::time::Duration;

use crate::ids::{CommandUid, RecordingId};
use crate::time::Timestamp;

use super::stamp::Sequence;

/// The maximum number of recordings of a room: the room stores the ids of all.
pub const MAX_RECORDINGS: usize = 1_000;

/// The status of the active recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordingStatus {
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
}

impl Recording {
    /// Returns the next deadline.
    pub const fn deadline(&self) -> Option<Timestamp> {
        match &self.status {
            RecordingStatus::Starting { deadline, .. }
            | RecordingStatus::Stopping { deadline, .. } => Some(*deadline),
            RecordingStatus::Active => None,
        }
    }
}

/// An input of the recording of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordInput {
    /// A request to start; the command goes out.
    Start {
        /// Its id.
        id: RecordingId,
        /// The file on the node.
        path: String,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The recording fails then.
        deadline: Timestamp,
    },
    /// A request to end; the command goes out.
    Stop {
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
