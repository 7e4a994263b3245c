//! The connections to one FreeSWITCH node, kept up for ever.
//!
//! Two connections a node, because FreeSWITCH runs `api` on the thread that would deliver events: one for events, which
//! only the reconciling replica has, one for commands, which every replica has. Each is supervised by a task of its own:
//! connect, authenticate, subscribe, stream, back off with jitter.
//!
//! Owns reconnecting, deadlines and who is told of a lost command. Leaves out what events mean: they go, as they are,
//! to an [`EventSink`] of the reconciler, which must never wait.

mod backoff;
mod connection;
mod handle;
mod meters;
mod nudge;
mod supervisor;

use std::time::Duration;

use crate::esl::Event;
use crate::esl::command::{ModuleName, Password};
use crate::ids::NodeId;

pub use handle::{NodeHandle, NodeStatus, Vitals};
pub use nudge::{Nudge, UnfitNudge};
pub use supervisor::{EVENTS, start};

/// Our own subclass of CUSTOM: an event that we send and that comes back with a sequence is a fence.
pub const FENCE_SUBCLASS: &str = "roomkeeper::fence";

/// The header of a fence that says which one it is.
pub const FENCE_HEADER: &str = "Roomkeeper-Fence";

/// How to reach a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its id.
    pub id: NodeId,
    /// `host:port` of its Event Socket.
    pub address: String,
    /// The Event Socket's password.
    pub password: Password,
    /// The module that speaks texts, where the node has it.
    pub speech_module: ModuleName,
    /// How patient to be.
    pub timing: Timing,
    /// How it is made to tell its events at once.
    pub nudge: Nudge,
}

/// The state of the connections to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// The first connection is being made.
    Connecting,
    /// Both connections stand.
    Up,
    /// They do not, and are tried again.
    Down {
        /// What went wrong, in words for the operator (a refused password or address is told plainly).
        reason: String,
        /// When it is tried again.
        retry_after: Duration,
    },
}

/// How patient to be with a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// To connect.
    pub connect: Duration,
    /// To answer a command.
    pub command: Duration,
    /// To finish a background job.
    pub job: Duration,
    /// The event connection is dead when nothing comes for this long: HEARTBEAT comes every 20 s.
    pub silence: Duration,
    /// The command connection is asked whether it lives when it has been idle for this long.
    pub ping: Duration,
    /// The first wait before connecting again; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest wait before connecting again.
    pub retry_max: Duration,
    /// The wait after a refused password or address: to ask again at once does not help.
    pub retry_refused: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            command: Duration::from_secs(5),
            job: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            ping: Duration::from_secs(10),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            retry_refused: Duration::from_secs(30),
        }
    }
}

/// Where the event connection tells what happens. Its methods are called by the reader of the connection, so none may
/// wait for anything.
pub trait EventSink: Send + 'static {
    /// The connection is up and subscribed: events that are made from now on will be told.
    fn up(&mut self);
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// The connection is gone, and so may be any event.
    fn down(&mut self);
}

/// Why a command got no good answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The node cannot be reached now: the command was not sent.
    #[error("the node is down")]
    Down {
        /// When it is tried again, as far as that is known.
        retry_after: Duration,
    },
    /// FreeSWITCH knows no such channel.
    #[error("FreeSWITCH knows no such channel")]
    NoSuchChannel,
    /// FreeSWITCH refused, in its own words.
    #[error("FreeSWITCH refused{}", crate::esl::command::quirk_error_without_text(.0))]
    Refused(String),
    /// No answer came in time, or the connection was lost before it: whether it was carried out is unknown.
    #[error("FreeSWITCH did not answer in time")]
    Unknown,
    /// Too many commands wait for this node.
    #[error("too many commands are waiting for the node")]
    Busy,
}
