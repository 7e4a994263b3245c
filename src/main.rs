//! The command line: reads the arguments, does what they say, chooses the exit code.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use roomkeeper::config::{Config, ConfigErrors};

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
        Command::Check(file) => match file.load() {
            Ok(config) => match io::stdout().write_all(config.summary().as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(errors) => bad_configuration(&errors),
        },
    }
}

fn bad_configuration(errors: &ConfigErrors) -> ExitCode {
    // When standard error is closed, the exit code still tells.
    let _ = writeln!(io::stderr(), "{errors}");
    ExitCode::from(EXIT_CONFIG)
}
