//! Files that play in a room: their ids, commands and domain events.

use super::media::Media;
use crate::ids::{CommandUid, OperationId};

/// The id of one file of an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId {
    /// The operation.
    pub operation: OperationId,
    /// Its index among the files, from 0.
    pub index: u16,
}

/// The reason why a file was not played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlayFailure {
    /// FreeSWITCH could not open it.
    Refused,
    /// The command did not reach FreeSWITCH.
    NotSent,
    /// FreeSWITCH did not confirm its opening in time.
    NotOpened,
    /// FreeSWITCH had the file and no longer has it, and no event reported its end.
    Unconfirmed,
}

impl PlayFailure {
    /// Returns the words in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "the file could not be played",
            Self::NotSent => "the node could not be told to play it",
            Self::NotOpened => "it was not opened in time",
            Self::Unconfirmed => "its end was not confirmed",
        }
    }
}

/// A playback command for FreeSWITCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayCommand {
    /// Opens a file and plays it after those that already play.
    Start {
        /// The id of the file, which its events repeat.
        file: FileId,
        /// Its sound.
        media: Media,
        /// In decibels.
        volume: i8,
    },
    /// Pauses or resumes: FreeSWITCH answers which it was.
    Toggle {
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Stops the files that play or are ready.
    Stop,
    /// Sets the volume of the file that plays; FreeSWITCH forgets it with the file.
    Volume {
        /// In decibels.
        volume: i8,
    },
}

impl PlayCommand {
    /// Returns true if it opens a file, which FreeSWITCH may have to fetch first.
    pub const fn opens_file(&self) -> bool {
        matches!(self, Self::Start { .. })
    }
}

/// A domain event of the playback to one member. Nobody pauses it or sets its volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberPlayEvent {
    /// [`PlayEvent::Started`].
    Started {
        /// The operation.
        operation: OperationId,
        /// The files and texts.
        media: Vec<Media>,
    },
    /// [`PlayEvent::Finished`].
    Finished {
        /// The operation.
        operation: OperationId,
        /// The files that were not played, and why.
        errors: Vec<(Media, PlayFailure)>,
    },
    /// [`PlayEvent::Stopped`]; also when the member leaves.
    Stopped {
        /// The operation.
        operation: OperationId,
    },
}

impl MemberPlayEvent {
    /// Returns the event of a playback; `None` if a playback to one member has no such event.
    pub fn from_event(event: PlayEvent) -> Option<Self> {
        Some(match event {
            PlayEvent::Started { operation, media } => Self::Started { operation, media },
            PlayEvent::Finished { operation, errors } => Self::Finished { operation, errors },
            PlayEvent::Stopped { operation } => Self::Stopped { operation },
            PlayEvent::Paused { .. }
            | PlayEvent::Resumed { .. }
            | PlayEvent::VolumeChanged { .. } => return None,
        })
    }
}

/// A domain event of the playback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayEvent {
    /// Files were accepted; they play after those before them.
    Started {
        /// The operation.
        operation: OperationId,
        /// The files and texts.
        media: Vec<Media>,
    },
    /// The last file of an operation is over.
    Finished {
        /// The operation.
        operation: OperationId,
        /// The files that were not played, and why.
        errors: Vec<(Media, PlayFailure)>,
    },
    /// The playback was paused.
    Paused {
        /// The operation.
        operation: OperationId,
    },
    /// The playback was resumed.
    Resumed {
        /// The operation.
        operation: OperationId,
    },
    /// The operation was stopped, by a command or by the end of the conference.
    Stopped {
        /// The operation.
        operation: OperationId,
    },
    /// The volume was set, of the present playback and of all that follows.
    VolumeChanged {
        /// The operation that plays.
        operation: Option<OperationId>,
        /// In decibels.
        volume: i8,
    },
}
