//! Settings that the actors of all nodes share.

use std::time::Duration;

use tokio::sync::watch;

use roomkeeper_core::node_state::Rules;

use super::relay::RelaySettings;
use super::render::CommandSettings;

/// Settings that the actors of all nodes share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The owners of numbers, and the timeouts of intents; they change when apps come and go.
    pub rules: watch::Receiver<Rules>,
    /// Settings for the text of switch commands.
    pub commands: CommandSettings,
    /// The ways between the nodes.
    pub relays: RelaySettings,
    /// The lifetime of a lease that is not renewed.
    pub lease_ttl: Duration,
    /// The interval between snapshots, give or take a third.
    pub resync_interval: Duration,
    /// A node that is unreachable for this long is lost: its members leave, its calls end.
    pub lost_after: Duration,
    /// The time for which rooms and memberships can be read by id after their end.
    pub keep_ended_rooms: Duration,
    /// The same for recordings.
    pub keep_recordings: Duration,
    /// The same for calls.
    pub keep_ended_sessions: Duration,
}
