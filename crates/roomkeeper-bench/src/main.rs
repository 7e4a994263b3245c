//! The command line of the load harness.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget};
use roomkeeper_bench::{BenchError, Options, Scenario, Size, bare, default_controller, run};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// The allocator of the controller, so that the bare handler and the controller differ only in what they do.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const EXIT_CODES: &str = "\
Exit codes: 0 all targets were reached, or it was a smoke run; 1 a target was missed, or nothing could be measured; \
2 the command line is wrong.";

/// Measures Roomkeeper on this machine: starts simulated nodes, a redis-server and a controller of its own.
///
/// Needs redis-server and setpriv, takes minutes and keeps the machine busy. The table is Markdown.
#[derive(Parser, Debug)]
#[command(
    name = "roomkeeper-bench",
    version,
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(flatten)]
    measure: Measure,
    #[command(subcommand)]
    helper: Option<Helper>,
}

#[derive(Args, Debug)]
struct Measure {
    /// The scenarios to run; all of them by default.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How much work each scenario does.
    #[arg(long, value_enum, default_value = "full")]
    size: Size,
    /// The number of nodes in a fleet (`idle`, `fleet`). The targets hold for the default, 100. `fleet` puts 10,000 calls on
    /// each.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    nodes: Option<u16>,
    /// A real FreeSWITCH's Event Socket, for the scenarios that can use one. Its password is RK_ESL_PASSWORD.
    #[arg(long, value_name = "HOST:PORT", requires = "password")]
    freeswitch: Option<SocketAddr>,
    /// Its password. The environment hides it from the list of processes.
    #[arg(long, env = "RK_ESL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The most runs of each scenario. A scenario runs again while the machine's host gave more than 1 % of its CPU time
    /// to others, or the machine was more than 15 % slower than at best. The report shows the run in which the machine
    /// was fastest.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    tries: u16,
    /// Prints JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// The `roomkeeper` binary to measure; by default the one beside this program.
    #[arg(long, value_name = "PATH")]
    controller: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Helper {
    /// Serves the bare handler that the harness compares reads with.
    #[command(name = bare::COMMAND, hide = true)]
    BareHandler {
        /// The address to listen on.
        listen: SocketAddr,
        /// The URL of its Redis.
        redis: String,
        /// The part of the keys before the id.
        prefix: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.helper {
        Some(Helper::BareHandler {
            listen,
            redis,
            prefix,
        }) => runtime().and_then(|runtime| {
            runtime.block_on(bare::serve(listen, &redis, prefix))?;
            Ok(true)
        }),
        None => measure(arguments.measure),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // When standard error is closed, the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "roomkeeper-bench: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<Runtime, BenchError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(BenchError::system("start a runtime"))
}

/// Runs the scenarios and prints the report. Returns true for a smoke run and when all targets were reached.
fn measure(measure: Measure) -> Result<bool, BenchError> {
    log_warnings();
    let controller = match measure.controller {
        Some(path) => path,
        None => default_controller()?,
    };
    let options = Options {
        scenarios: measure.scenarios,
        size: measure.size,
        nodes: measure.nodes.map(usize::from),
        freeswitch: measure.freeswitch.zip(measure.password),
        tries: usize::from(measure.tries),
        controller,
    };
    let json = measure.json;
    let report = runtime()?.block_on(run(&options, spinner(), |section| {
        if !json {
            print(&section.to_string());
        }
    }))?;
    if json {
        print(&report.json().to_string());
    }
    Ok(options.size == Size::Smoke || report.all_reached())
}

/// Logs warnings and errors of the harness's own parts to standard error. `ROOMKEEPER_LOG__FILTER` changes that.
fn log_warnings() {
    let filter = std::env::var("ROOMKEEPER_LOG__FILTER").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

/// Shows progress on standard error; hidden when that is no terminal.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_message("starting");
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn print(text: &str) {
    // When standard output is closed, the exit code still reports the result.
    let _ = writeln!(io::stdout(), "{text}");
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
