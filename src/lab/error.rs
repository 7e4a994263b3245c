//! Failures of the lab.

use std::io;

use freeswitch_esl::command::Unfit;

use crate::app::AppError;
use crate::config::ConfigErrors;

/// The reason why the lab cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The simulated node or the receiver cannot listen.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
    /// The lab's own configuration is wrong, which is a bug.
    #[error("the lab's configuration is wrong: {0}")]
    Config(#[from] ConfigErrors),
    /// The controller cannot start.
    #[error(transparent)]
    App(#[from] AppError),
    /// A value does not fit into a command for FreeSWITCH.
    #[error("invalid command for a node")]
    Unfit(#[from] Unfit),
    /// The API sent an unexpected response to the demo.
    #[error("unexpected response to the demo: {0}")]
    Demo(String),
}
