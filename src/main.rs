//! The command line: reads the arguments, does what they say, chooses the exit code.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use roomkeeper::app;
use roomkeeper::config::{Config, ConfigErrors, LogConfig, LogFormat, TelemetryConfig};
use roomkeeper::esl::command::{ContextName, Number, Password, Unfit};
use roomkeeper::ids::AppId;
use roomkeeper::lab::callers::{self, CallersConfig};
use roomkeeper::lab::{self, LabPorts, receiver};
use roomkeeper::operator::{self, AppCommand, Operator, OperatorError};
use roomkeeper::sim::{SimConfig, SimNode};
use roomkeeper::telemetry::{self, TelemetryError};
use roomkeeper::webhook::sign::Secret;
use secrecy::SecretString;
use url::Url;

/// `EX_USAGE` of sysexits.h: the configuration is wrong, and starting again will not help.
const EXIT_CONFIG: u8 = 64;

/// `EX_UNAVAILABLE`: nobody answers at the admin listener's address.
const EXIT_UNAVAILABLE: u8 = 69;

/// `EX_NOPERM`: the admin key is missing or wrong.
const EXIT_NOPERM: u8 = 77;

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
    ///
    /// Or one of its parts alone, beside a controller and nodes that are real.
    #[command(args_conflicts_with_subcommands = true)]
    Lab {
        /// The API's port on loopback; another one is taken when it is in use.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// The operator's port on loopback; another one is taken when it is in use.
        #[arg(long, default_value_t = 9090)]
        admin_port: u16,
        #[command(subcommand)]
        part: Option<LabPart>,
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
    /// Makes, lists and closes apps of a running controller, through its admin listener.
    ///
    /// Exits with 0 when it was done, 1 when the controller refused, 69 when nobody answers, 77 when the admin key is
    /// missing or wrong, 2 when the command is not one.
    #[command(arg_required_else_help = true)]
    App {
        #[command(flatten)]
        listener: AdminListener,
        #[command(subcommand)]
        command: AppArguments,
    },
    /// Validates a configuration, the environment included, and shows what was understood, without its secrets.
    Check(ConfigFile),
}

#[derive(Subcommand, Debug)]
enum LabPart {
    /// Prints each webhook that comes to /hook, once its signature is verified.
    Receiver {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:9999")]
        listen: SocketAddr,
        /// What the webhooks are signed with, as in the configuration. In the environment it is not seen in the list of
        /// processes.
        #[arg(
            long,
            value_name = "WHSEC",
            env = "ROOMKEEPER_LAB_SECRET",
            hide_env_values = true
        )]
        secret: Secret,
    },
    /// Keeps calls coming in on real nodes: through the dialplan, from the node itself.
    Callers {
        /// A node's Event Socket; may be given more than once.
        #[arg(long = "node", value_name = "HOST:PORT", required = true)]
        nodes: Vec<String>,
        /// The nodes' password. In the environment it is not seen in the list of processes.
        #[arg(long, env = "RK_ESL_PASSWORD", hide_env_values = true, value_parser = password)]
        password: Password,
        /// The number that is called.
        #[arg(long, default_value = "747713001", value_parser = |text: &str| Number::new(text))]
        number: Number,
        /// The dialplan's context that it is called in.
        #[arg(long, default_value = "inbound", value_parser = |text: &str| ContextName::new(text))]
        context: ContextName,
        /// How many calls each node has.
        #[arg(long, default_value_t = 3)]
        calls: usize,
        /// How long a call lasts, in seconds, up to half more or less.
        #[arg(long, value_name = "SECONDS", default_value_t = 180)]
        lasts: u32,
    },
}

#[derive(clap::Args, Debug)]
struct AdminListener {
    /// The controller's admin listener.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ROOMKEEPER_ADMIN",
        default_value = "http://127.0.0.1:9090"
    )]
    admin: Url,
    /// Its key. In the environment it is not seen in the list of processes.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_ADMIN_KEY",
        hide_env_values = true
    )]
    admin_key: Option<SecretString>,
    /// Prints the listener's answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum AppArguments {
    /// Makes an app and shows its key, this once.
    Add {
        /// 1 to 64 characters of A-Z a-z 0-9 _ -
        app_id: AppId,
        /// A dialled number whose calls are the app's; may be given more than once.
        #[arg(long = "did", value_name = "NUMBER")]
        dids: Vec<String>,
        /// Its uuid in the VoIPBIN API; made from its id when not given.
        #[arg(long, value_name = "UUID")]
        customer_id: Option<String>,
        /// How many requests it may make a second. Without it, as many as every app.
        #[arg(long, value_name = "N")]
        rate_limit: Option<u32>,
        /// Its receiver. The secret that its webhooks are signed with is shown this once.
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
    },
    /// Shows all apps, without their keys.
    List,
    /// Gives an app another key and shows it, this once. The one before stays active, any older one does not.
    RotateKey {
        /// Which.
        app_id: AppId,
    },
    /// Says how many requests a second an app may make.
    RateLimit {
        /// Which.
        app_id: AppId,
        /// How many. Without it, as many as every app.
        #[arg(value_name = "N")]
        rate_limit: Option<u32>,
    },
    /// Closes the API to an app. Its calls stay.
    Disable {
        /// Which.
        app_id: AppId,
    },
}

impl From<AppArguments> for AppCommand {
    fn from(arguments: AppArguments) -> Self {
        match arguments {
            AppArguments::Add {
                app_id: id,
                dids,
                customer_id,
                rate_limit,
                webhook_url,
            } => Self::Add {
                id,
                customer_id,
                dids,
                rate_limit,
                webhook_url,
            },
            AppArguments::List => Self::List,
            AppArguments::RotateKey { app_id: id } => Self::RotateKey { id },
            AppArguments::RateLimit {
                app_id: id,
                rate_limit,
            } => Self::RateLimit { id, rate_limit },
            AppArguments::Disable { app_id: id } => Self::Disable { id },
        }
    }
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
        Command::App { listener, command } => app_command(listener, &command.into()),
        Command::Lab {
            port,
            admin_port,
            part: None,
        } => run_lab(LabPorts {
            http: port,
            admin: admin_port,
        }),
        Command::Lab {
            part: Some(part), ..
        } => run_part(part),
        Command::Sim {
            listen,
            password,
            callers,
            did,
        } => run_sim(listen, password, callers, &did),
    }
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

fn app_command(listener: AdminListener, command: &AppCommand) -> ExitCode {
    let operator = match Operator::new(listener.admin, listener.admin_key) {
        Ok(operator) => operator,
        Err(error) => return failed(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(operator.run(command)),
        Err(error) => return failed(&error),
    };
    match answer {
        Ok(answer) => {
            let text = if listener.json {
                format!("{answer:#}\n")
            } else {
                operator::render(command, &answer)
            };
            match io::stdout().write_all(text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                // A key that nobody has seen is lost, and whoever asked must know.
                Err(error) => failed(&error),
            }
        }
        Err(error) => {
            let code = match &error {
                OperatorError::Unreachable { .. } | OperatorError::NotOurs { .. } => {
                    EXIT_UNAVAILABLE
                }
                OperatorError::Unauthorized(_) => EXIT_NOPERM,
                OperatorError::Refused { .. } => 1,
            };
            let _ = failed(&error);
            ExitCode::from(code)
        }
    }
}

fn run_lab(ports: LabPorts) -> ExitCode {
    // The webhooks are what there is to see; the log speaks up only when something is wrong.
    let metrics = match init_quietly().and_then(|()| telemetry::init_metrics()) {
        Ok(metrics) => metrics,
        Err(error) => return failed(&error),
    };
    run(async { lab::run(ports, metrics).await })
}

fn run_part(part: LabPart) -> ExitCode {
    if let Err(error) = init_quietly() {
        return failed(&error);
    }
    match part {
        LabPart::Receiver { listen, secret } => {
            run(async move { receiver::run(listen, secret).await })
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

/// What is wrong with it is told without it.
fn password(text: &str) -> Result<Password, Unfit> {
    Password::new(text)
}

fn run_sim(listen: SocketAddr, password: String, callers: u32, did: &str) -> ExitCode {
    if let Err(error) = init_quietly() {
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
