//! Failures of a resync.

use freeswitch_esl::ApiFailure;
use roomkeeper_core::command_error::CommandError;

use super::translate::UnreadableSnapshot;

/// The reason why a resync failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResyncError {
    #[error("the request was not sent to FreeSWITCH: {0}")]
    Command(#[from] CommandError),
    #[error("FreeSWITCH did not return the list: {0}")]
    Failure(#[from] ApiFailure),
    #[error("the list cannot be parsed: {0}")]
    Unreadable(#[from] UnreadableSnapshot),
    #[error("the fence did not come back")]
    NoFence,
    #[error("FreeSWITCH was restarted meanwhile")]
    OtherCore,
    #[error("the resync panicked")]
    Panicked,
    #[error("the reconciler is stopping, or another replica took the node")]
    Stopped,
}

impl ResyncError {
    /// Returns true if the connection to the node is down.
    pub(super) const fn is_disconnected(&self) -> bool {
        matches!(self, Self::Command(CommandError::Down { .. }))
    }
}
