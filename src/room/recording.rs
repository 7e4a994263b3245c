//! The recording of a room: one at a time, begun and ended when FreeSWITCH's own event says so.
//!
//! `+OK` comes before the file is opened, so it says nothing. A recording whose conference ends, ends with it.

use std::time::Duration;

use crate::ids::{CommandUid, RecordingId};
use crate::time::Timestamp;

use super::state::Sequence;

/// Recordings of one room: the ids of all are kept with it.
pub const MOST_RECORDINGS: usize = 1_000;

/// Where the recording that is under way stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordingStatus {
    /// Asked for.
    Starting {
        /// Given up then.
        deadline: Timestamp,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// It runs.
    Active,
    /// It runs, and is asked to end.
    Stopping {
        /// Taken back then, if it still runs.
        deadline: Timestamp,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
}

/// The recording that is under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Its id.
    pub id: RecordingId,
    /// The file on the node. Commands and events name a recording by it.
    pub path: String,
    /// Where it stands.
    pub status: RecordingStatus,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began, once that is known.
    pub started_at: Option<Timestamp>,
    /// The sequence of the event that said so, or of the fence.
    pub since: Sequence,
}

impl Recording {
    /// When it next wants to be looked at.
    pub const fn deadline(&self) -> Option<Timestamp> {
        match &self.status {
            RecordingStatus::Starting { deadline, .. }
            | RecordingStatus::Stopping { deadline, .. } => Some(*deadline),
            RecordingStatus::Active => None,
        }
    }
}

/// What can happen to the recording of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordInput {
    /// It was asked for; the command goes out.
    Start {
        /// Its id.
        id: RecordingId,
        /// Where the node writes it.
        path: String,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// Given up then.
        deadline: Timestamp,
    },
    /// It was asked to end; the command goes out.
    Stop {
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// Taken back then.
        deadline: Timestamp,
    },
    /// `start-recording`, or a snapshot that shows it.
    Started {
        /// Which.
        id: RecordingId,
        /// It carries an `Error`.
        failed: bool,
        /// `Event-Sequence`, or that of the fence.
        sequence: Sequence,
        /// Known from a snapshot.
        synthesized: bool,
    },
    /// `stop-recording`, or two snapshots that lack it.
    Stopped {
        /// Which.
        id: RecordingId,
        /// How long it is, where FreeSWITCH says so.
        length: Option<Duration>,
        /// Known from a snapshot.
        synthesized: bool,
    },
    /// FreeSWITCH refused to begin it.
    StartRefused {
        /// Which.
        id: RecordingId,
    },
    /// FreeSWITCH refused to end it.
    StopRefused {
        /// Which.
        id: RecordingId,
    },
}

/// What a reader is shown of a recording, also after it is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingView {
    /// The file on the node.
    pub path: String,
    /// Where it stands.
    pub state: RecordingState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it is, once it is over.
    pub length: Option<Duration>,
}

/// Where a recording stands, also after it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordingState {
    /// Asked for.
    Starting,
    /// It runs.
    Recording,
    /// It ended, and its file is there.
    Ended,
    /// It never began.
    Failed,
}

impl RecordingState {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recording => "recording",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing happens to it any more.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Starting | Self::Recording => false,
            Self::Ended | Self::Failed => true,
        }
    }
}
