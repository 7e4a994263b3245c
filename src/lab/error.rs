//! Failures of the lab.

use std::io;

use freeswitch_esl::command::Unfit;

use crate::app::AppError;
use crate::config::ConfigErrors;

/// Why the lab could not run.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The simulated node or the receiver could not listen.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
    /// The lab's own configuration is wrong, which is a mistake of ours.
    #[error("the lab's configuration is wrong: {0}")]
    Config(#[from] ConfigErrors),
    /// The controller could not begin.
    #[error(transparent)]
    App(#[from] AppError),
    /// A command of ours is not one, which is a mistake of ours.
    #[error("the lab cannot speak to its nodes")]
    Unfit(#[from] Unfit),
    /// The demo did not get the answer it expected from the API.
    #[error("the demo got no good answer: {0}")]
    Demo(String),
}
