//! The load harness of Roomkeeper: simulated nodes, a real `redis-server` and a controller, measured from outside.
//!
//! The controller is a child process that runs `roomkeeper serve` on a configuration file, so the harness measures what
//! users run. The nodes and the receivers of webhooks live in the harness's own process; the report states their cost
//! separately. The binary `roomkeeper-bench` drives [`run`]; the benchmark in `benches/esl` uses [`report`].
//!
//! | module | owns |
//! |---|---|
//! | [`report`] | the table: figures, ratios, targets |
//! | [`process`] | child processes, the cost of a process |
//! | [`machine`] | the speed of the machine during a measurement |
//! | [`world`] | Redis, nodes and the controller, started together |
//! | [`stages`] | the durations of the controller's stages between two moments, from its metrics |
//! | [`rooms`] | rooms with members, and an operator who mutes them |
//! | [`pace`] | a rate that does not depend on the system's responses |
//! | [`outbox`] | the messages of commits in Redis, read from outside |
//! | [`switch`] | a real FreeSWITCH: calls of the harness on it, and an operator who mutes them |
//! | [`receiver`] | a webhook receiver that records arrival times |
//! | [`raw`], [`load`] | minimal protocol clients, and a load generator of many of them |
//! | [`bare`] | the baseline handler for reads |
//! | [`commits`] | throughput of room events, until they are committed |
//! | [`webhooks`] | latency from an event to its webhook, on simulated nodes and on a real one |
//! | [`large_room`] | one room of ten thousand members |
//! | [`reads`] | requests for a room |
//! | [`joins`] | latency of a join request, until it is accepted |
//! | [`commands`] | commands in flight on one connection |
//! | [`idle`] | an idle fleet |
//! | [`fleet`] | a full fleet: memory, the duration of a snapshot and of a restart |

pub mod bare;
pub mod commands;
pub mod commits;
pub mod fleet;
pub mod idle;
pub mod joins;
pub mod large_room;
pub mod load;
pub mod machine;
pub mod outbox;
pub mod pace;
pub mod process;
pub mod raw;
pub mod reads;
pub mod receiver;
pub mod report;
pub mod rooms;
pub mod stages;
pub mod switch;
pub mod webhooks;
pub mod world;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::ProgressBar;

use machine::{Gauge, MachineSpeed, Reading};
use report::{Report, Section};

/// A scenario that can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Scenario {
    /// Events in 1,000 rooms, committed in Redis as fast as they arrive.
    Commits,
    /// 1,000 events a second: the time until an app has the webhook; also on a real FreeSWITCH, with and without wake-ups.
    Webhooks,
    /// One room of 10,000 members: the cost of an event.
    LargeRoom,
    /// Requests for a room, beside a bare handler that reads one hash from Redis.
    Reads,
    /// A join request, until it is accepted, beside its parts.
    Joins,
    /// Commands in flight on one connection, beside a bare socket that pipelines them.
    Commands,
    /// A hundred idle nodes: CPU and memory.
    Idle,
    /// A million members on a hundred nodes: memory, the duration of a snapshot and of a restart.
    Fleet,
}

/// The amount of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Size {
    /// Seconds, to test the harness; the figures mean nothing.
    Smoke,
    /// Enough for valid figures.
    Full,
}

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The scenarios to run, in this order; empty for all.
    pub scenarios: Vec<Scenario>,
    /// The amount of work.
    pub size: Size,
    /// The number of nodes in the fleet scenarios, instead of their default.
    pub nodes: Option<usize>,
    /// A real FreeSWITCH's Event Socket and its password, for the scenarios that can use one.
    pub freeswitch: Option<(SocketAddr, String)>,
    /// The most runs of each scenario while the machine is slower than at best.
    pub tries: usize,
    /// The `roomkeeper` binary to measure.
    pub controller: PathBuf,
}

/// Returns the controller in the same directory as this program, where Cargo puts both.
///
/// # Errors
/// When the path of this program is not known.
pub fn default_controller() -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::system("find this program"))?;
    Ok(own.with_file_name(format!("roomkeeper{}", std::env::consts::EXE_SUFFIX)))
}

fn check_controller(path: &Path) -> Result<(), BenchError> {
    if path.is_file() {
        Ok(())
    } else {
        Err(BenchError::NoController(path.to_owned()))
    }
}

/// A reason why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system refused something: a process, a port, a file.
    #[error("cannot {0}")]
    System(String, #[source] io::Error),
    /// The controller to measure does not exist.
    #[error(
        "no controller at {}: build it with `cargo build --release -p roomkeeper`, or name one with --controller",
        .0.display()
    )]
    NoController(PathBuf),
    /// A Redis command failed.
    #[error("redis-server failed")]
    Redis(#[from] redis::RedisError),
    /// A request got no response.
    #[error("a request failed")]
    Request(#[from] reqwest::Error),
    /// A condition was not met in time.
    #[error("{what} did not happen within {within:?}")]
    Timeout {
        /// The condition.
        what: String,
        /// The time limit.
        within: Duration,
    },
    /// A result that the scenario cannot use.
    #[error("{0}")]
    Unexpected(String),
}

impl BenchError {
    /// Returns a function that adds the attempted action to a system error.
    pub fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::System(what, error)
    }
}

/// The environment of a scenario.
pub struct Run<'a> {
    /// The options of the run.
    pub options: &'a Options,
    /// Progress, on a terminal.
    pub bar: ProgressBar,
    /// Measures the machine's speed.
    gauge: Gauge,
}

impl Run<'_> {
    /// Returns the first value at full size, the second in a smoke run.
    pub fn size<T>(&self, full: T, smoke: T) -> T {
        match self.options.size {
            Size::Full => full,
            Size::Smoke => smoke,
        }
    }

    /// The number of nodes of a fleet.
    pub fn nodes(&self) -> usize {
        self.options.nodes.unwrap_or_else(|| self.size(100, 3))
    }

    /// Reads the machine's counters, for [`Run::since`].
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read.
    pub fn read_machine(&self) -> Result<Reading, BenchError> {
        self.gauge
            .now()
            .map_err(BenchError::system("read /proc/stat"))
    }

    /// Returns the machine's speed since `then`.
    ///
    /// # Errors
    /// As [`Run::read_machine`].
    pub fn since(&self, then: &Reading) -> Result<MachineSpeed, BenchError> {
        self.gauge
            .since(then)
            .map_err(BenchError::system("read /proc/stat"))
    }

    /// Shows the current step on the progress bar.
    pub fn show_progress(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }
}

/// Runs the scenarios one after the other. `bar` shows progress; `each` gets each section when it is complete.
///
/// # Errors
/// The first [`BenchError`]; `each` has got the sections before it.
pub async fn run(
    options: &Options,
    bar: ProgressBar,
    mut each: impl FnMut(&Section),
) -> Result<Report, BenchError> {
    check_controller(&options.controller)?;
    let all = if options.scenarios.is_empty() {
        Scenario::value_variants()
    } else {
        &options.scenarios
    };
    let gauge = Gauge::start().map_err(BenchError::system("start a thread"))?;
    let run = Run {
        options,
        bar,
        gauge,
    };
    let mut report = Report::default();
    if let Some(node) = &options.freeswitch {
        // A wrong password fails now, not after the scenarios before.
        switch::check_login(node)?;
    }
    for scenario in all {
        let real = options.freeswitch.as_ref();
        let real = real.filter(|_| *scenario == Scenario::Webhooks);
        for node in std::iter::once(None).chain(real.map(Some)) {
            let section = measure_when_quiet(&run, *scenario, node).await?;
            each(&section);
            report.add(section);
        }
    }
    run.bar.finish_and_clear();
    Ok(report)
}

/// Measures a scenario and repeats it while the machine is slow, up to [`Options::tries`] runs. The choice of the run to show
/// depends on the machine's speed alone, not on the results.
async fn measure_when_quiet(
    run: &Run<'_>,
    scenario: Scenario,
    node: Option<&(SocketAddr, String)>,
) -> Result<Section, BenchError> {
    let mut runs = 0;
    let mut quietest: Option<(MachineSpeed, Section)> = None;
    let (speed, mut section) = loop {
        runs += 1;
        let start = run.read_machine()?;
        let section = measure(run, scenario, node).await?;
        let all = run.since(&start)?;
        let speed = section.speed().unwrap_or(all);
        let best = match quietest.take() {
            Some(best) if best.0.work_rate() >= speed.work_rate() => best,
            _ => (speed, section),
        };
        if speed.is_quiet(run.gauge.fastest()) || runs >= run.options.tries {
            break best;
        }
        quietest = Some(best);
    };
    let choice = match runs {
        1 => String::new(),
        runs => format!(" The machine was fastest in this one of {runs} runs."),
    };
    let period = match section.speed() {
        Some(_) => "During the measured restart",
        None => "Meanwhile",
    };
    section.note(format!(
        "{period} {}.{choice}",
        speed.beside(run.gauge.fastest())
    ));
    Ok(section)
}

async fn measure(
    run: &Run<'_>,
    scenario: Scenario,
    node: Option<&(SocketAddr, String)>,
) -> Result<Section, BenchError> {
    match (scenario, node) {
        (Scenario::Commits, _) => commits::measure(run).await,
        (Scenario::Webhooks, None) => webhooks::measure(run).await,
        (Scenario::Webhooks, Some(node)) => webhooks::real::measure(run, node).await,
        (Scenario::LargeRoom, _) => large_room::measure(run).await,
        (Scenario::Reads, _) => reads::measure(run).await,
        (Scenario::Joins, _) => joins::measure(run).await,
        (Scenario::Commands, _) => commands::measure(run).await,
        (Scenario::Idle, _) => idle::measure(run).await,
        (Scenario::Fleet, _) => fleet::measure(run).await,
    }
}
