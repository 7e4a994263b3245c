//! The connections to one FreeSWITCH node, reconnected whenever they end.
//!
//! Each node has two connections, because FreeSWITCH runs `api` on the thread that delivers events: one for events, which
//! only the node's owner opens, and one for commands, which every replica opens. A separate task supervises each of them:
//! connect, authenticate, subscribe, stream, back off with jitter.
//!
//! This module reconnects, enforces deadlines and reports lost commands to their callers. It passes events unchanged to an
//! [`EventSink`] of the reconciler, which must never wait.

mod backoff;
mod connection;
mod handle;
mod link_log;
mod meters;
mod nudge;
mod supervisor;

use std::time::Duration;

use freeswitch_esl::Event;
use freeswitch_esl::command::{ModuleName, Password};
use roomkeeper_core::ids::NodeId;

pub use handle::{ConnectionStatus, NodeHandle, Vitals, command_error};
pub use nudge::{Nudge, UnfitNudge};
pub use roomkeeper_core::command_error::CommandError;
pub use supervisor::{EVENTS, start};

/// Our own subclass of CUSTOM for fences: events that we send and that FreeSWITCH returns with a sequence.
pub const FENCE_SUBCLASS: &str = "roomkeeper::fence";

/// The header of a fence with its token.
pub const FENCE_HEADER: &str = "Roomkeeper-Fence";

/// How to reach a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The id.
    pub id: NodeId,
    /// `host:port` of its Event Socket.
    pub address: String,
    /// The Event Socket's password.
    pub password: Password,
    /// The module that speaks texts, if the node has it.
    pub speech_module: ModuleName,
    /// The timeouts.
    pub timing: Timing,
    /// The wake-ups that make the node send its events at once.
    pub nudge: Nudge,
}

/// The state of the connections to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// The first connection is being made.
    Connecting,
    /// Both connections are up.
    Up,
    /// A connection is down and will be opened again.
    Down {
        /// The reason, for the operator; it names a refused password or address.
        reason: String,
        /// The time until the next attempt.
        retry_after: Duration,
    },
}

/// Timeouts and pauses for a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Timeout to connect.
    pub connect: Duration,
    /// Timeout of a command's answer.
    pub command: Duration,
    /// Timeout of a background job.
    pub job: Duration,
    /// The event connection is dead after this long without data: HEARTBEAT arrives every 20 s.
    pub silence: Duration,
    /// The command connection is pinged after this long without data.
    pub ping: Duration,
    /// The first pause before reconnecting; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest pause before reconnecting.
    pub retry_max: Duration,
    /// The pause after a refused password or address, when an immediate attempt does not help.
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

/// Receives the events of a connection. The connection's reader calls these methods, so none may wait.
pub trait EventSink: Send + 'static {
    /// The connection is up and subscribed: all later events will arrive.
    fn up(&mut self);
    /// An event arrived.
    fn event(&mut self, event: &Event);
    /// The connection ended, and events may be lost.
    fn down(&mut self);
}
