//! Commands that wait for their outcome.

use super::ConnId;

/// The receiver of a command's outcome.
#[derive(Debug, Clone)]
pub(super) enum Waiter {
    /// A connection that is blocked by `api`.
    Api(ConnId),
    /// A background job.
    Job {
        uuid: String,
        command: String,
        arg: String,
    },
}

/// An `originate` that waits until its call is answered; the A leg keeps it.
#[derive(Debug, Clone)]
pub(super) struct Origination {
    pub pending: u64,
    pub plan: Vec<(String, String)>,
}
