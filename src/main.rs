//! The program: does what the command line says, and chooses the exit code.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use freeswitch_sim::{SimConfig, SimNode};
use roomkeeper::app;
use roomkeeper::cli::arguments::{
    Command, ConfigFile, LabOptions as LabArguments, LabPart, ReplayOptions, SimOptions,
    TailOptions,
};
use roomkeeper::cli::tail::{EventQuery, Format};
use roomkeeper::cli::{
    self, Arguments, Failure, apps, audit, calls, contexts, lookup, members, nodes, pages, replay,
    rooms, tail, terminal, webhooks,
};
use roomkeeper::config::{Config, ConfigErrors};
use roomkeeper::lab::callers::{self, CallersConfig};
use roomkeeper::lab::{self, LabOptions, LabPorts, NodeChoice, receiver};
use roomkeeper::shutdown::stop_signal;
use roomkeeper::telemetry::{self, LogConfig, LogFormat, TelemetryConfig, TelemetryError};

/// The state is millions of small values that live long, beside lists of megabytes that do not. `Cargo.toml` has the
/// measurement, `.cargo/config.toml` the settings, which are compiled in.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// `EX_USAGE` of sysexits.h: the configuration is wrong, and starting again will not help.
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(file) => match file.load() {
            Ok(config) => serve(config),
            Err(errors) => bad_configuration(&errors),
        },
        Command::Check(file) => check(&file),
        Command::Lab {
            part: Some(part), ..
        } => run_part(part),
        Command::Lab {
            options,
            part: None,
        } => run_lab(options),
        Command::Sim(options) => run_sim(options),
        Command::Room(options) => ask(rooms::run(options)),
        Command::Member(options) => ask(members::run(options)),
        Command::Call(options) => ask(calls::run(options)),
        Command::Webhook(options) => ask(webhooks::run(options)),
        Command::Rooms(options) => ask(rooms::run_rooms(options)),
        Command::Sessions(options) => ask(calls::run_sessions(options)),
        Command::Tail(options) => ask(show_events(options)),
        Command::Nodes(options) => ask(async {
            let admin = options.access.client()?;
            nodes::show(&admin, options.command.into(), options.view).await
        }),
        Command::App(options) => ask(async {
            let admin = options.access.client()?;
            apps::show(&admin, &options.command.into(), options.view).await
        }),
        Command::Audit(options) => ask(audit::run(options)),
        Command::Context(options) => ended(contexts::run(options)),
        Command::Replay(options) => ended(replay_recordings(options)),
        Command::Completions { shell } => ended(pages::completions(shell)),
        Command::Man { dir } => ended(pages::manual(dir.as_deref())),
    }
}

fn check(file: &ConfigFile) -> ExitCode {
    match file.load() {
        Ok(config) => {
            let text = format!("{} is valid\n{}", file.path.display(), config.summary());
            ended(cli::print(&text).map_err(Failure::from))
        }
        Err(errors) => bad_configuration(&errors),
    }
}

async fn show_events(options: TailOptions) -> Result<(), Failure> {
    let api = options.access.client()?;
    let room = match options.room {
        Some(room) => Some(lookup::room(&api, &room).await?),
        None => None,
    };
    let query = EventQuery {
        room,
        events: options.events,
        since: options.since,
    };
    let format = Format {
        json: options.json,
        colours: terminal::colours(options.color),
    };
    tail::run(&api, query, format).await
}

fn replay_recordings(options: ReplayOptions) -> Result<(), Failure> {
    let load = |path| ConfigFile { path }.load();
    replay::run(replay::Options {
        files: options.files,
        app: options.app,
        config: options.config.map(load).transpose()?,
        node: options.node,
        json: options.json,
        verbose: options.verbose,
        colours: terminal::colours(options.color),
    })
}

/// Executes a command that queries or controls a running controller.
fn ask(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => ended(runtime.block_on(work)),
        Err(error) => failed(&error),
    }
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let code = error.exit_code();
    if code != 0 {
        let _ = failed(&error);
    }
    ExitCode::from(code)
}

fn serve(config: Config) -> ExitCode {
    let traces = match telemetry::init_log(&config.log, &config.telemetry) {
        Ok(traces) => traces,
        Err(error) => return failed(&error),
    };
    let metrics = match telemetry::init_metrics() {
        Ok(metrics) => metrics,
        Err(error) => return failed(&error),
    };
    run(async { app::serve(config, metrics, traces).await })
}

fn run_lab(arguments: LabArguments) -> ExitCode {
    // The webhooks are what there is to see; the log speaks up only when something is wrong.
    let metrics = match init_quietly().and_then(|()| telemetry::init_metrics()) {
        Ok(metrics) => metrics,
        Err(error) => return failed(&error),
    };
    let options = LabOptions {
        ports: LabPorts {
            http: arguments.port,
            admin: arguments.admin_port,
        },
        callers: arguments.callers.into(),
        // The arguments require a password with an address.
        node: match (arguments.freeswitch, arguments.password) {
            (Some(address), Some(password)) => NodeChoice::FreeSwitch { address, password },
            _ => NodeChoice::Simulated,
        },
        colours: terminal::colours(arguments.color),
    };
    let mut code = None;
    let result = run(async {
        let ended = lab::run(options, metrics).await;
        code = ended.as_ref().err().map(lab::LabError::exit_code);
        ended
    });
    code.map_or(result, ExitCode::from)
}

fn run_part(part: LabPart) -> ExitCode {
    if let Err(error) = init_quietly() {
        return failed(&error);
    }
    match part {
        LabPart::Receiver {
            listen,
            secret,
            color,
        } => {
            let colours = terminal::colours(color);
            run(async move { receiver::run(listen, secret, colours).await })
        }
        LabPart::Callers {
            nodes,
            password,
            number,
            context,
            calls,
            lasts,
        } => run(async move {
            callers::run(CallersConfig {
                nodes,
                password,
                number,
                context,
                calls,
                lasts: Duration::from_secs(lasts.into()),
            })
            .await
        }),
    }
}

fn run_sim(options: SimOptions) -> ExitCode {
    if let Err(error) = init_quietly() {
        return failed(&error);
    }
    run(async {
        let told_to_stop = stop_signal();
        let mut config = SimConfig {
            listen: options.listen,
            ..SimConfig::default()
        };
        config.node.password = options.password;
        let sim = SimNode::start(config).await?;
        for caller in 1..=options.callers {
            sim.call_in(&options.did, &format!("5271211{caller:02}"), &[]);
        }
        writeln!(
            io::stdout(),
            "a simulated FreeSWITCH node listens on {}",
            sim.addr
        )?;
        told_to_stop.await;
        Ok::<(), io::Error>(())
    })
}

/// A log that speaks up only when something is wrong, and no traces.
fn init_quietly() -> Result<(), TelemetryError> {
    let log = LogConfig {
        format: LogFormat::Text,
        filter: std::env::var("ROOMKEEPER_LOG__FILTER").unwrap_or_else(|_| "warn".to_owned()),
    };
    telemetry::init_log(&log, &TelemetryConfig::default()).map(|_| ())
}

fn run<E: Error>(work: impl Future<Output = Result<(), E>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(work)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// Says what went wrong, down to its cause.
fn failed(error: &dyn Error) -> ExitCode {
    // When standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr(), "roomkeeper: {}", cli::chain(error));
    ExitCode::FAILURE
}

fn bad_configuration(errors: &ConfigErrors) -> ExitCode {
    // When standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr(), "{errors}");
    ExitCode::from(EXIT_CONFIG)
}
