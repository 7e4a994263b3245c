//! The command line: reads the arguments, does what they say, chooses the exit code.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use roomkeeper::app;
use roomkeeper::config::{Config, ConfigErrors, LogConfig, LogFormat};
use roomkeeper::lab::{self, LabPorts};
use roomkeeper::sim::{SimConfig, SimNode};
use roomkeeper::telemetry;

/// `EX_USAGE` of sysexits.h: the configuration is wrong, and starting again will not help.
const EXIT_CONFIG: u8 = 64;

/// Roomkeeper, a conference controller for FreeSWITCH.
#[derive(Parser, Debug)]
#[command(version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the controller until SIGTERM or SIGINT.
    Serve(ConfigFile),
    /// Runs everything in this process, to be tried: a simulated node, a controller, callers, a receiver that prints.
    Lab {
        /// The API's port on loopback; another one is taken when it is in use.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// The operator's port on loopback; another one is taken when it is in use.
        #[arg(long, default_value_t = 9090)]
        admin_port: u16,
    },
    /// Runs only the simulated FreeSWITCH node.
    Sim {
        /// Where its Event Socket listens.
        #[arg(long, default_value = "127.0.0.1:8021")]
        listen: SocketAddr,
        /// The Event Socket's password.
        #[arg(long, default_value = "ClueCon")]
        password: String,
        /// Calls that come in at the start, and are answered and parked.
        #[arg(long, default_value_t = 0)]
        callers: u32,
        /// The number they dial.
        #[arg(long, default_value = "747713001")]
        did: String,
    },
    /// Validates a configuration, the environment included, and shows what was understood, without its secrets.
    Check(ConfigFile),
}

#[derive(clap::Args, Debug)]
struct ConfigFile {
    /// The configuration, in TOML. Variables such as ROOMKEEPER_STORE__URL win over it.
    #[arg(long = "config", value_name = "FILE", env = "ROOMKEEPER_CONFIG")]
    path: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, ConfigErrors> {
        // What is not Unicode is not a setting of ours, or an error that its absence will show.
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::load(&self.path, env)
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(file) => match file.load() {
            Ok(config) => serve(config),
            Err(errors) => bad_configuration(&errors),
        },
        Command::Check(file) => match file.load() {
            Ok(config) => match io::stdout().write_all(config.summary().as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(errors) => bad_configuration(&errors),
        },
        Command::Lab { port, admin_port } => run_lab(LabPorts {
            http: port,
            admin: admin_port,
        }),
        Command::Sim {
            listen,
            password,
            callers,
            did,
        } => run_sim(listen, password, callers, &did),
    }
}

fn serve(config: Config) -> ExitCode {
    let metrics = match telemetry::init_log(&config.log).and_then(|()| telemetry::init_metrics()) {
        Ok(metrics) => metrics,
        Err(error) => return failed(&error),
    };
    run(async { app::serve(config, metrics).await })
}

fn run_lab(ports: LabPorts) -> ExitCode {
    // The webhooks are what there is to see; the log speaks up only when something is wrong.
    let metrics = match telemetry::init_log(&quiet()).and_then(|()| telemetry::init_metrics()) {
        Ok(metrics) => metrics,
        Err(error) => return failed(&error),
    };
    run(async { lab::run(ports, metrics).await })
}

fn run_sim(listen: SocketAddr, password: String, callers: u32, did: &str) -> ExitCode {
    if let Err(error) = telemetry::init_log(&quiet()) {
        return failed(&error);
    }
    run(async {
        let told_to_stop = app::stop_signal();
        let mut config = SimConfig {
            listen,
            ..SimConfig::default()
        };
        config.node.password = password;
        let sim = SimNode::start(config).await?;
        for caller in 1..=callers {
            sim.call_in(did, &format!("5271211{caller:02}"), &[]);
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

fn quiet() -> LogConfig {
    LogConfig {
        format: LogFormat::Text,
        filter: std::env::var("ROOMKEEPER_LOG__FILTER").unwrap_or_else(|_| "warn".to_owned()),
    }
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
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    // When standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr(), "roomkeeper: {text}");
    ExitCode::FAILURE
}

fn bad_configuration(errors: &ConfigErrors) -> ExitCode {
    // When standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr(), "{errors}");
    ExitCode::from(EXIT_CONFIG)
}
