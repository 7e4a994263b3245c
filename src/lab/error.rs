//! Failures of the lab.

use std::io;
use std::net::SocketAddr;

use freeswitch_esl::command::Unfit;

use crate::app::AppError;
use crate::config::ConfigErrors;
use crate::node::CommandError;

/// `EX_UNAVAILABLE` of sysexits.h: something that the lab needs is not available, such as a port or a node.
const EXIT_UNAVAILABLE: u8 = 69;

/// The reason why the lab cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The simulated node or the receiver cannot listen.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
    /// The port of a listener is in use.
    #[error(
        "{address} is in use: choose another port with {option}, or a free one with {option} 0"
    )]
    PortInUse {
        /// The address.
        address: SocketAddr,
        /// The option that sets the port.
        option: &'static str,
    },
    /// The lab's own configuration is wrong, which is a bug.
    #[error("the lab's configuration is wrong: {0}")]
    Config(#[from] ConfigErrors),
    /// The controller cannot start.
    #[error(transparent)]
    App(#[from] AppError),
    /// A value does not fit into a command for FreeSWITCH.
    #[error("invalid command for a node")]
    Unfit(#[from] Unfit),
    /// The FreeSWITCH of `--freeswitch` cannot be used.
    #[error("cannot use FreeSWITCH at {address}: {reason}")]
    Node {
        /// `host:port` of its Event Socket.
        address: String,
        /// The reason.
        reason: String,
    },
    /// A node refused a command of the demo, or did not answer.
    #[error("a command of the demo failed")]
    Command(#[from] CommandError),
    /// The API sent an unexpected response to the demo.
    #[error("unexpected response to the demo: {0}")]
    Demo(String),
}

impl LabError {
    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::PortInUse { .. } | Self::Node { .. } => EXIT_UNAVAILABLE,
            Self::Listen(_)
            | Self::Config(_)
            | Self::App(_)
            | Self::Unfit(_)
            | Self::Command(_)
            | Self::Demo(_) => 1,
        }
    }
}
