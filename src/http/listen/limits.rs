//! The limits of a listener's connections.

use std::time::Duration;

/// The limits of client connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The maximum number of connections. A further one closes a connection that waits for a request, preferably the
    /// oldest that has never carried a valid key. It waits while all are in use.
    pub connections: usize,
    /// The maximum number for one address, except a trusted proxy's. A further one is refused while all are in use.
    pub per_address: usize,
    /// The time until the first byte of a request, also between two requests.
    pub head: Duration,
    /// The time from the first to the last byte of a head.
    pub head_completion: Duration,
    /// The time for which a client may accept no bytes of a response.
    pub write: Duration,
}

impl Default for Limits {
    /// Twice as many connections as requests in flight, so that half of them can be idle. The time for a head exceeds
    /// the idle timeout of common proxies, so that they close an idle connection before this listener does. A client
    /// that accepts no bytes for half a minute hangs or has vanished.
    fn default() -> Self {
        Self {
            connections: 4_096,
            per_address: 1_024,
            head: Duration::from_secs(75),
            head_completion: Duration::from_secs(10),
            write: Duration::from_secs(30),
        }
    }
}
