//! The command line for those who run Roomkeeper: what is asked of a running controller, and what of recordings.
//!
//! Owns the arguments, how answers look on a terminal, and the exit codes. Leaves out what anything means: a controller
//! decides, so that a command and a request of one's own can never differ; and a recording goes through the very rules
//! that a controller has. `main` drives it.
//!
//! | module | owns |
//! |---|---|
//! | [`arguments`] | what can be typed, and its help |
//! | [`client`] | asking the API and the admin listener, pages, who is told what by an exit code |
//! | [`table`] | tables that fit the terminal, times in a zone that is named |
//! | [`terminal`] | what there is to write on: its width, colours, progress |
//! | [`line`](mod@line) | an event as one line |
//! | [`apps`], [`rooms`], [`nodes`] | their commands and how the answers are shown |
//! | [`tail`] | events as they come |
//! | [`replay`] | what a recording would do |
//! | [`pages`] | completions for shells, manual pages |

pub mod apps;
pub mod arguments;
pub mod client;
pub mod line;
pub mod nodes;
pub mod pages;
pub mod replay;
pub mod rooms;
pub mod table;
pub mod tail;
pub mod terminal;

use std::error::Error;
use std::io::{self, Write};

pub use arguments::Arguments;
use client::ClientError;

use crate::config::ConfigErrors;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The controller refused, or was not reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output does not take what there is to say.
    #[error("cannot write")]
    Output(#[from] io::Error),
    /// A secret that is shown only once was not.
    #[error("the key was made and could not be shown: make another one")]
    Unseen(#[source] io::Error),
    /// The configuration that was named is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Some recordings were not what they should be. What is wrong has been said.
    #[error("{0}")]
    Recordings(replay::BadRecordings),
    /// Ended by a signal, before what was waited for was so.
    #[error("{0}")]
    Interrupted(String),
}

impl Failure {
    /// What the process ends with, after sysexits.h.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            // Whoever reads only the first lines has what it wants.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) | Self::Unseen(_) => 1,
            // EX_USAGE, as for `serve` and `check`.
            Self::Config(_) => 64,
            Self::Recordings(bad) => bad.exit_code(),
            // As a shell has it for SIGINT.
            Self::Interrupted(_) => 130,
        }
    }
}

/// An error with all of its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Writes to standard output, to the end.
///
/// # Errors
/// When it takes no more.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Says something beside the output. When standard error is closed there is nobody to tell.
pub(crate) fn aside(text: &str) {
    let _closed = writeln!(io::stderr(), "roomkeeper: {text}");
}
