//! The program: does what the command line says, and chooses the exit code.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use roomkeeper::app;
use roomkeeper::bench::{self, Size, bare};
use roomkeeper::cli::arguments::{ApiAccess, Command, ConfigFile, LabPart};
use roomkeeper::cli::client::Client;
use roomkeeper::cli::rooms::Look;
use roomkeeper::cli::tail::{Form, Wanted};
use roomkeeper::cli::{
    self, Arguments, Failure, apps, nodes, pages, replay, rooms, tail, terminal,
};
use roomkeeper::config::{Config, ConfigErrors, LogConfig, LogFormat, TelemetryConfig};
use roomkeeper::lab::callers::{self, CallersConfig};
use roomkeeper::lab::{self, LabPorts, receiver};
use roomkeeper::sim::{SimConfig, SimNode};
use roomkeeper::telemetry::{self, TelemetryError};
use tikv_jemallocator::Jemalloc;

/// Millions of small things that live long, beside lists of megabytes that do not: the system's allocator keeps a third more
/// for them. How soon this one gives back what is free is said in `.cargo/config.toml`, for it is built in.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// `EX_USAGE` of sysexits.h: the configuration is wrong, and starting again will not help.
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(file) => match file.load() {
            Ok(config) => serve(config),
            Err(errors) => bad_configuration(&errors),
        },
        Command::Check(file) => match file.load() {
            Ok(config) => ended(cli::print(&config.summary()).map_err(Failure::from)),
            Err(errors) => bad_configuration(&errors),
        },
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
        Command::Bench {
            scenarios,
            size,
            nodes,
            freeswitch,
            password,
            tries,
            json,
        } => run_bench(
            &bench::Options {
                scenarios,
                size,
                nodes: nodes.map(usize::from),
                freeswitch: freeswitch.zip(password),
                tries: usize::from(tries),
            },
            json,
        ),
        Command::BenchBareHandler {
            listen,
            redis,
            prefix,
        } => run(bare::serve(listen, &redis, prefix)),
        Command::Rooms {
            room_id,
            api,
            view,
            watch,
        } => ask(async {
            let what = room_id.map_or(Look::Rooms, Look::Room);
            rooms::show(&client(api)?, what, view, watch.interval()).await
        }),
        Command::Sessions {
            session,
            api,
            view,
            watch,
        } => ask(async {
            let what = session.map_or(Look::Sessions, Look::Session);
            rooms::show(&client(api)?, what, view, watch.interval()).await
        }),
        Command::Tail {
            room,
            events,
            since,
            api,
            json,
            color,
        } => ask(async {
            let wanted = Wanted {
                room,
                events,
                since,
            };
            let colours = terminal::colours(color);
            tail::run(&client(api)?, wanted, Form { json, colours }).await
        }),
        Command::Nodes {
            listener,
            view,
            command,
        } => ask(async {
            let admin = Client::admin(listener)?;
            nodes::show(&admin, command.into(), view).await
        }),
        Command::App {
            listener,
            view,
            command,
        } => ask(async {
            let admin = Client::admin(listener)?;
            apps::show(&admin, &command.into(), view).await
        }),
        Command::Replay {
            files,
            app,
            config,
            node,
            verbose,
            json,
            color,
        } => {
            let config = config.map(|path| ConfigFile { path }.load()).transpose();
            ended(config.map_err(Failure::from).and_then(|config| {
                replay::run(replay::Options {
                    files,
                    app,
                    config,
                    node,
                    json,
                    verbose,
                    colours: terminal::colours(color),
                })
            }))
        }
        Command::Completions { shell } => ended(pages::completions(shell)),
        Command::Man { dir } => ended(pages::manual(dir.as_deref())),
    }
}

fn client(access: ApiAccess) -> Result<Client, Failure> {
    let app = access.app.as_ref().map(|app| app.as_str());
    Ok(Client::api(access.api, app, access.key.as_ref())?)
}

/// Something that is asked of a running controller.
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

fn run_bench(options: &bench::Options, json: bool) -> ExitCode {
    if let Err(error) = init_quietly() {
        return failed(&error);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let measured = runtime.map_err(bench::BenchError::system("start a runtime"));
    let bar = terminal::spinner("starting");
    let measured = measured.and_then(|runtime| {
        runtime.block_on(bench::run(options, bar, |section| {
            if !json {
                // Whoever has closed it wants no more of it; the exit code still tells.
                let _ = cli::print(&format!("{section}\n"));
            }
        }))
    });
    match measured {
        Ok(report) => {
            if json {
                let _ = cli::print(&format!("{}\n", report.json()));
            }
            if options.size == Size::Smoke || report.all_reached() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => failed(&error),
    }
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
