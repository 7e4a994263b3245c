//! The settings of a connection, its notifications, and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use freeswitch_esl::Event;
use freeswitch_esl::command::{Command, JobPrefix};
use roomkeeper_core::ids::NodeId;

use crate::node::nudge::Nudge;

/// Why a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::node) enum EndReason {
    /// It could not be opened, or broke; the reason is for the operator.
    Lost(String),
    /// The password or our address was refused, so an early attempt does not help.
    Refused(String),
    /// It is no longer needed.
    Stopped,
}

/// The settings of a connection.
pub(in crate::node) struct ConnectionSettings<'a> {
    /// Sent after authentication; each must be accepted.
    pub(in crate::node) setup: Vec<Command>,
    /// The prefix of this connection's job ids.
    pub(in crate::node) jobs: JobPrefix,
    /// The connection is dead after this long without data.
    pub(in crate::node) silence: Option<Duration>,
    /// The connection is pinged after this long without data.
    pub(in crate::node) ping: Option<Duration>,
    /// Timeout of a setup command or a ping.
    pub(in crate::node) timeout: Duration,
    /// The wake-ups of the node on this connection.
    pub(in crate::node) nudge: Nudge,
    /// The messages that the node sends unprompted.
    pub(in crate::node) expected: ExpectedMessages,
    /// The node, for the metrics.
    pub(in crate::node) node: NodeId,
    /// Receives events, and that the connection is ready.
    pub(in crate::node) on_event: &'a mut (dyn FnMut(ConnectionEvent<'_>) + Send),
}

/// The messages on a connection besides answers, which would wait for FreeSWITCH's next check.
pub(in crate::node) enum ExpectedMessages {
    /// Events, at any time. The connection is notified of commands on the other one, because events follow them.
    Events(Arc<Notify>),
    /// The results of its own jobs. The connection notifies the other one of its commands.
    Jobs(Arc<Notify>),
}

/// A notification by a connection.
pub(in crate::node) enum ConnectionEvent<'a> {
    /// Authenticated and set up.
    Ready,
    /// An event.
    Event(&'a Event),
}
