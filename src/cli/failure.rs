//! The failures of commands and their exit codes, after sysexits.h.

use std::fmt;
use std::io;

use super::client::ClientError;
use super::context_file::ContextError;
use crate::config::ConfigErrors;

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The controller refused the request or did not respond.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Standard output is not writable.
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
    /// A secret that is shown only once could not be shown.
    #[error("the key was created but could not be printed: create another one")]
    SecretNotShown(#[source] io::Error),
    /// A signing secret that is shown only once could not be shown.
    #[error("the signing secret was created but could not be printed: rotate it")]
    WebhookSecretNotShown(#[source] io::Error),
    /// The given configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Some recordings could not be replayed. Each has been reported.
    #[error("{0}")]
    Recordings(BadRecordings),
    /// No room, call, endpoint or delivery has this name or id.
    #[error("{0}")]
    NotFound(String),
    /// A prefix or a number that several rooms, calls, endpoints or deliveries have.
    #[error("{0}")]
    Ambiguous(String),
    /// The controller accepted the command, and then it failed.
    #[error("{0}")]
    Command(String),
    /// The controller accepted the command, and no confirmation came in time.
    #[error("{0}")]
    Unconfirmed(String),
    /// A destructive command without `--yes` and without a terminal.
    #[error("{0} There is no terminal to answer on: use --yes")]
    NeedsYes(String),
    /// A command that only one app can give, with the commands that are possible.
    #[error("--all-apps is possible for {0} only")]
    NotForAllApps(&'static str),
    /// A change of settings without any.
    #[error("there is nothing to change: give at least one setting, see --help")]
    NoSetting,
    /// The user answered no.
    #[error("nothing was changed")]
    Declined,
    /// The contexts cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A signal ended the command while it waited.
    #[error("{0}")]
    Interrupted(String),
}

impl Failure {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            // A reader such as `head` closes the pipe when it has enough lines.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_)
            | Self::SecretNotShown(_)
            | Self::WebhookSecretNotShown(_)
            | Self::NotFound(_)
            | Self::Command(_)
            | Self::Declined => 1,
            // As for arguments that clap refuses.
            Self::Ambiguous(_) | Self::NeedsYes(_) | Self::NotForAllApps(_) | Self::NoSetting => 2,
            // EX_USAGE, as for `serve` and `check`.
            Self::Config(_) | Self::Context(_) => 64,
            // EX_TEMPFAIL.
            Self::Unconfirmed(_) => 75,
            Self::Recordings(bad) => bad.exit_code(),
            // The exit code of a shell after SIGINT.
            Self::Interrupted(_) => 130,
        }
    }
}

/// The number of recordings that could not be replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BadRecordings {
    /// Files that cannot be opened or read.
    pub unread: usize,
    /// Files that are not Event Socket recordings.
    pub bad: usize,
}

impl BadRecordings {
    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        // EX_DATAERR, EX_NOINPUT.
        if self.bad > 0 { 65 } else { 66 }
    }
}

impl fmt::Display for BadRecordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unreadable recordings: {}, files that are not Event Socket recordings: {}",
            self.unread, self.bad
        )
    }
}
