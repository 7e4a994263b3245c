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

/// The party that waits for the outcome of a call.
#[derive(Debug, Clone)]
pub(super) enum Asker {
    /// A pending `originate`.
    Command(u64),
    /// A channel that runs `bridge`.
    Bridge(String),
}

/// A call that is not answered yet; the A leg keeps it.
#[derive(Debug, Clone)]
pub(super) struct Origination {
    pub asker: Asker,
    pub plan: Vec<(String, String)>,
}
