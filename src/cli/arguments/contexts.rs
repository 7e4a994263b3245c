//! The arguments of `context`.

use std::path::PathBuf;

use clap::Subcommand;
use secrecy::SecretString;
use url::Url;

use roomkeeper_core::ids::AppId;

use super::access::listener_url;
use super::output::View;

/// The command for contexts.
#[derive(clap::Args, Debug)]
pub struct ContextOptions {
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The command.
    #[command(subcommand)]
    pub command: ContextArguments,
}

/// A command for contexts.
#[derive(Subcommand, Debug)]
pub enum ContextArguments {
    /// Shows all contexts, without their keys.
    #[command(after_help = examples!("context list"))]
    List,
    /// Shows a context, without its keys.
    #[command(after_help = examples!("context show", "context show lab"))]
    Show {
        /// The context; the current one if omitted.
        name: Option<String>,
    },
    /// Makes a context the current one.
    #[command(after_help = examples!("context use lab"))]
    Use {
        /// The context.
        name: String,
    },
    /// Creates a context or changes it. Omitted settings keep their values. The first context becomes the current one.
    #[command(after_help = examples!("context set lab --api 127.0.0.1:8080 --app demo --key lab-key", "context set production --api https://rk.example.com --app demo --key-stdin"))]
    Set {
        /// 1 to 64 characters of A-Z a-z 0-9 _ -
        name: String,
        /// The settings.
        #[command(flatten)]
        settings: Box<ContextSettings>,
    },
    /// Removes a context.
    #[command(after_help = examples!("context remove lab"))]
    Remove {
        /// The context.
        name: String,
    },
}

/// The settings of a context. They are options only: environment variables do not become part of a context.
#[derive(clap::Args, Debug)]
pub struct ContextSettings {
    /// The controller's API.
    #[arg(long, value_name = "URL", value_parser = listener_url)]
    pub api: Option<Url>,
    /// The calling app.
    #[arg(long, value_name = "APP_ID")]
    pub app: Option<AppId>,
    /// The app's key. It is in the process list while the command runs.
    #[arg(long, value_name = "KEY", conflicts_with = "key_stdin")]
    pub key: Option<SecretString>,
    /// Reads the app's key from the first line of standard input.
    #[arg(long, conflicts_with = "admin_key_stdin")]
    pub key_stdin: bool,
    /// The controller's admin listener.
    #[arg(long, value_name = "URL", value_parser = listener_url)]
    pub admin: Option<Url>,
    /// The admin key. It is in the process list while the command runs.
    #[arg(long, value_name = "KEY", conflicts_with = "admin_key_stdin")]
    pub admin_key: Option<SecretString>,
    /// Reads the admin key from the first line of standard input.
    #[arg(long)]
    pub admin_key_stdin: bool,
    /// A file with the admin key.
    #[arg(long, value_name = "FILE")]
    pub admin_key_file: Option<PathBuf>,
}
