//! The bounds on what clients may hold of a listener.

use std::time::Duration;

/// The limits of client connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at the same time. For one more, one that waits for a request is closed, first of all the oldest that
    /// has never carried a valid key. While all are in use, it waits.
    pub connections: usize,
    /// The same for one address, except a trusted proxy's. While all of them are in use, one more is refused.
    pub per_address: usize,
    /// The time until the first byte of a request, also between two requests.
    pub head: Duration,
    /// The time from the first to the last byte of a head.
    pub begun_head: Duration,
    /// The time for which a client may accept no bytes of a response.
    pub write: Duration,
}

impl Default for Limits {
    /// So many connections that every request in flight can have one and as many again can wait with theirs open; and
    /// the head's time of the common proxies, so that they give an idle connection up before it is closed under them.
    /// A client that accepts nothing for half a minute hangs or has vanished.
    fn default() -> Self {
        Self {
            connections: 4_096,
            per_address: 1_024,
            head: Duration::from_secs(75),
            begun_head: Duration::from_secs(10),
            write: Duration::from_secs(30),
        }
    }
}
