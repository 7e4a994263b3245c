//! The output of commands, and how long they run.

use std::time::Duration;

/// The output format.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct View {
    /// Prints the response as JSON, all pages in one document.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Shows times in UTC instead of the local time zone.
    #[arg(long, global = true, help_heading = "Output")]
    pub utc: bool,
}

/// The output format of a command that shows ids.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct IdView {
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// Shows whole ids in tables, instead of prefixes that are unique.
    #[arg(long, global = true, help_heading = "Output")]
    pub full_ids: bool,
}

/// The refresh interval.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Refreshes the output every SECONDS (default 2) until Ctrl-C.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u16).range(1..=3600),
        conflicts_with = "json"
    )]
    pub watch: Option<u16>,
}

impl Watch {
    /// The time between two refreshes.
    pub fn interval(self) -> Option<Duration> {
        self.watch
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// The wait for a confirmation.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Wait {
    /// Waits until FreeSWITCH has confirmed the command; fails if the command fails. Ctrl-C ends the wait, but not the
    /// command.
    #[arg(long)]
    pub wait: bool,
    /// The longest wait in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "wait",
        default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..=3600)
    )]
    pub timeout: u16,
}

impl Wait {
    /// The longest wait; `None` without `--wait`.
    pub fn limit(self) -> Option<Duration> {
        self.wait.then(|| Duration::from_secs(self.timeout.into()))
    }
}
