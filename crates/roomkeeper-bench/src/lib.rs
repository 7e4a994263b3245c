//! The load harness of Roomkeeper: simulated nodes, a real `redis-server` and a controller, measured from outside.
//!
//! The controller is a child process that runs `roomkeeper serve` on a configuration file, so the harness measures what
//! users run. The nodes and the receivers of webhooks live in the harness's own process; the report states their cost
//! separately. The binary `roomkeeper-bench` drives [`run`]; the benchmark in `benches/esl` uses [`report`].
//!
//! | module | owns |
//! |---|---|
//! | [`report`] | the table: figures, ratios, what is to be reached |
//! | [`process`] | child processes, what a process costs |
//! | [`machine`] | what the machine could do meanwhile |
//! | [`world`] | Redis, nodes and the controller, started together |
//! | [`stages`] | what the controller's own metrics say of its stages, between two moments |
//! | [`rooms`] | rooms with members, and an operator who mutes them |
//! | [`pace`] | a rate that does not depend on what comes of it |
//! | [`outbox`] | what commits leave in Redis, read from outside |
//! | [`switch`] | a real FreeSWITCH: calls of the harness on it, and an operator who mutes them |
//! | [`receiver`] | a receiver of webhooks that notes when each came |
//! | [`raw`], [`load`] | sockets on which as little is spoken as it takes, and many of them at once |
//! | [`bare`] | the handler that reads are held against |
//! | [`commits`] | events of rooms, as fast as they are committed |
//! | [`webhooks`] | from an event to its webhook, on simulated nodes and on a real one |
//! | [`large_room`] | one room of ten thousand members |
//! | [`reads`] | a room, asked for |
//! | [`joins`] | a request to join, until it is accepted |
//! | [`commands`] | commands in flight on one connection |
//! | [`idle`] | a fleet on which nothing happens |
//! | [`fleet`] | a fleet that is full: memory, what a snapshot and a restart take |

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

use machine::{Gauge, Meanwhile, Moment};
use report::{Report, Section};

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Scenario {
    /// Events in 1,000 rooms, committed in Redis as fast as they come.
    Commits,
    /// 1,000 events a second: the time until an app has the webhook; with a real FreeSWITCH there, too, nudged and not.
    Webhooks,
    /// One room of 10,000 members: what an event in it costs.
    LargeRoom,
    /// A room, asked for, beside a bare handler that asks Redis for one hash.
    Reads,
    /// A request to join, until it is accepted, beside what it is made of.
    Joins,
    /// Commands in flight on one connection, beside a bare socket that pipelines them.
    Commands,
    /// A hundred nodes on which nothing happens: CPU and memory.
    Idle,
    /// A million members on a hundred nodes: memory, and what a snapshot and a restart take.
    Fleet,
}

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Size {
    /// Enough to see that it works: seconds, and no figure means anything.
    Smoke,
    /// What the figures are for.
    Full,
}

/// How it is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is measured, in this order; empty for everything.
    pub scenarios: Vec<Scenario>,
    /// How much of it.
    pub size: Size,
    /// How many nodes the scenarios of a whole fleet have, where that is not what they are for.
    pub nodes: Option<usize>,
    /// A real FreeSWITCH's Event Socket and its password, for the scenarios that can use one.
    pub freeswitch: Option<(SocketAddr, String)>,
    /// How often each is measured at most, while the machine is slower than it can be.
    pub tries: usize,
    /// The `roomkeeper` binary to measure.
    pub controller: PathBuf,
}

/// Returns the controller in the same directory as this program, where Cargo puts both.
///
/// # Errors
/// When the system does not tell where this program is.
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

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A process could not be started or read, or a port not be had.
    #[error("cannot {0}")]
    System(String, #[source] io::Error),
    /// The controller to measure does not exist.
    #[error(
        "no controller at {}: build it with `cargo build --release -p roomkeeper`, or name one with --controller",
        .0.display()
    )]
    NoController(PathBuf),
    /// Redis did not do what it was asked.
    #[error("redis-server failed")]
    Redis(#[from] redis::RedisError),
    /// A request did not come to an answer.
    #[error("a request failed")]
    Request(#[from] reqwest::Error),
    /// Something did not become so in time.
    #[error("{what} did not happen within {within:?}")]
    Waited {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
    },
    /// Something was not as the scenario needs it.
    #[error("{0}")]
    Unexpected(String),
}

impl BenchError {
    /// Says what was tried when the system refused.
    pub fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::System(what, error)
    }
}

/// What a scenario has at hand.
pub struct Run<'a> {
    /// How it is run.
    pub options: &'a Options,
    /// Progress, on a terminal.
    pub bar: ProgressBar,
    /// What the machine can do.
    gauge: Gauge,
}

impl Run<'_> {
    /// This many at full size, and that many to see that it works.
    pub fn size<T>(&self, full: T, smoke: T) -> T {
        match self.options.size {
            Size::Full => full,
            Size::Smoke => smoke,
        }
    }

    /// How many nodes a whole fleet has.
    pub fn nodes(&self) -> usize {
        self.options.nodes.unwrap_or_else(|| self.size(100, 3))
    }

    /// Now, for [`Run::since`].
    ///
    /// # Errors
    /// When the system does not tell how its time was spent.
    pub fn moment(&self) -> Result<Moment, BenchError> {
        self.gauge
            .now()
            .map_err(BenchError::system("read /proc/stat"))
    }

    /// What the machine could do since then.
    ///
    /// # Errors
    /// As [`Run::moment`].
    pub fn since(&self, then: &Moment) -> Result<Meanwhile, BenchError> {
        self.gauge
            .since(then)
            .map_err(BenchError::system("read /proc/stat"))
    }

    /// Says what is under way.
    pub fn says(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }
}

/// Runs the scenarios one after the other. `bar` shows progress; `each` is told of each section once it is there.
///
/// # Errors
/// The first [`BenchError`]; what was measured before has been told.
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
        // Not only after all that comes before it.
        switch::may_log_in(node)?;
    }
    for scenario in all {
        let real = options.freeswitch.as_ref();
        let real = real.filter(|_| *scenario == Scenario::Webhooks);
        for node in std::iter::once(None).chain(real.map(Some)) {
            let section = in_quiet(&run, *scenario, node).await?;
            each(&section);
            report.add(section);
        }
    }
    run.bar.finish_and_clear();
    Ok(report)
}

/// Measures it, again and again as long as the machine is slower than it can be, as often as was asked for. Which run is
/// shown depends on that alone, not on what came of it.
async fn in_quiet(
    run: &Run<'_>,
    scenario: Scenario,
    node: Option<&(SocketAddr, String)>,
) -> Result<Section, BenchError> {
    let mut runs = 0;
    let mut quietest: Option<(Meanwhile, Section)> = None;
    let (meanwhile, mut section) = loop {
        runs += 1;
        let begun = run.moment()?;
        let section = measure(run, scenario, node).await?;
        let all = run.since(&begun)?;
        let meanwhile = section.of_time().unwrap_or(all);
        let best = match quietest.take() {
            Some(best) if best.0.speed() >= meanwhile.speed() => best,
            _ => (meanwhile, section),
        };
        if meanwhile.is_quiet(run.gauge.fastest()) || runs >= run.options.tries {
            break best;
        }
        quietest = Some(best);
    };
    let of_how_many = match runs {
        1 => String::new(),
        runs => format!(" It is the one of {runs} runs in which the machine was fastest."),
    };
    let when = match section.of_time() {
        Some(_) => "While that was measured which takes time,",
        None => "Meanwhile",
    };
    section.note(format!(
        "{when} {}.{of_how_many}",
        meanwhile.beside(run.gauge.fastest())
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
