//! The settings of a simulated node.

use std::net::SocketAddr;

use crate::core::NodeConfig;

/// The settings of a simulated node.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The seed of all identifiers.
    pub seed: u64,
    /// Adds up to a frame of jitter to all media work: then the steps of different calls interleave differently with
    /// every seed.
    pub jitter: bool,
    /// The backlog of the listening socket. The real server's is 5.
    pub backlog: u32,
    /// The settings of the model.
    pub node: NodeConfig,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            jitter: false,
            backlog: 5,
            node: NodeConfig::default(),
        }
    }
}
