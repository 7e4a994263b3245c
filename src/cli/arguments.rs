//! The arguments of the command line and their help.
//!
//! Owns the names of commands, options and environment variables. Leaves out their effect.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use secrecy::SecretString;
use url::Url;

use crate::config::{Config, ConfigErrors};
use crate::webhook::sign::Secret;
use freeswitch_esl::command::{ContextName, Number, Password, Unfit};
use roomkeeper_core::ids::{AppId, CallId, NodeId, RoomId};

/// Help text of every command that sends requests to a controller.
const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 the controller refused; 2 invalid arguments; 69 no controller answers; 77 the key is missing or wrong.";

/// Help text of commands that can wait.
const EXIT_CODES_WITH_WAIT: &str = "\
Exit codes: 0 success; 1 the controller refused; 2 invalid arguments; 69 no controller answers; 77 the key is missing or wrong; \
130 a signal ended --wait early.";

/// Help text of `lab`.
const EXIT_CODES_LAB: &str = "\
Exit codes: 0 a signal ended the lab; 1 it cannot run; 2 invalid arguments; 69 a port is in use, or FreeSWITCH is not available.";

/// Help text of `replay`.
const EXIT_CODES_REPLAY: &str = "\
Exit codes: 0 success, also if the last message is incomplete; 2 invalid arguments; 64 the configuration is invalid; \
65 a file is not an Event Socket recording; 66 a file cannot be read.";

/// Roomkeeper, a conference controller for FreeSWITCH.
#[derive(Parser, Debug)]
#[command(name = "roomkeeper", version, about, arg_required_else_help = true)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The command.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs the controller until SIGTERM or SIGINT.
    Serve(ConfigFile),
    /// Runs a demo in one process: a node, a controller, callers, and a webhook receiver that prints.
    ///
    /// The node is simulated, or a FreeSWITCH. A subcommand runs one part alone, next to a real controller and real nodes.
    #[command(args_conflicts_with_subcommands = true, after_help = EXIT_CODES_LAB)]
    Lab {
        /// The settings of the demo.
        #[command(flatten)]
        options: LabOptions,
        /// The part to run alone.
        #[command(subcommand)]
        part: Option<LabPart>,
    },
    /// Runs only the simulated FreeSWITCH node.
    Sim(SimOptions),
    /// Shows an app's rooms, or one room and its members.
    #[command(after_help = EXIT_CODES)]
    Rooms(RoomsOptions),
    /// Shows an app's calls, or one call.
    #[command(after_help = EXIT_CODES)]
    Sessions(SessionsOptions),
    /// Follows an app's events until Ctrl-C.
    ///
    /// When the connection ends, it reconnects and shows the events in between; if some are no longer stored, it shows
    /// stream.gap. Messages about the connection go to standard error.
    #[command(after_help = EXIT_CODES)]
    Tail(TailOptions),
    /// Shows the nodes of a running controller, drains them, or resyncs them with a snapshot.
    #[command(after_help = EXIT_CODES)]
    Nodes(NodesOptions),
    /// Creates, lists and disables apps of a running controller, through its admin listener.
    #[command(arg_required_else_help = true, after_help = EXIT_CODES)]
    App(AppOptions),
    /// Replays a recorded Event Socket stream and shows each webhook, each command, and the final state.
    ///
    /// A recording contains every byte that FreeSWITCH sent on an event connection. It goes through the controller's
    /// parser and rules; nothing is stored or sent. Rooms are assumed to exist before the recording and to belong to
    /// the app of their first member. Several recordings are replayed in order, as successive connections of one node.
    #[command(after_help = EXIT_CODES_REPLAY)]
    Replay(ReplayOptions),
    /// Validates a configuration, including the environment, and shows the result without secrets.
    Check(ConfigFile),
    /// Prints a shell's completion script.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page, or writes one page for each command.
    Man {
        /// Writes the pages to this folder.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// The settings of the lab.
#[derive(clap::Args, Debug)]
pub struct LabOptions {
    /// The API's port on loopback; 0 means a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The admin listener's port on loopback; 0 means a free one.
    #[arg(long, default_value_t = 9090)]
    pub admin_port: u16,
    /// The number of calls that are kept parked. When one is used, a new one comes in.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=50))]
    pub callers: u16,
    /// Uses a FreeSWITCH on the project's freeswitch-conf, by its Event Socket, instead of a simulated node.
    #[arg(long, value_name = "HOST:PORT", value_parser = node_address, requires = "password")]
    pub freeswitch: Option<String>,
    /// The password of that Event Socket. Pass it in the environment to keep it out of the process list.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "RK_ESL_PASSWORD",
        hide_env_values = true,
        value_parser = secret_password
    )]
    pub password: Option<SecretString>,
    /// Colours of the webhooks.
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// The settings of the simulated node.
#[derive(clap::Args, Debug)]
pub struct SimOptions {
    /// The address that its Event Socket listens on.
    #[arg(long, default_value = "127.0.0.1:8021")]
    pub listen: SocketAddr,
    /// The Event Socket's password.
    #[arg(long, default_value = "ClueCon")]
    pub password: String,
    /// The number of calls that come in at the start and are answered and parked.
    #[arg(long, default_value_t = 0)]
    pub callers: u32,
    /// The dialled number of these calls.
    #[arg(long, default_value = "747713001")]
    pub did: String,
}

/// The rooms to show.
#[derive(clap::Args, Debug)]
pub struct RoomsOptions {
    /// The room; all rooms if omitted.
    pub room_id: Option<RoomId>,
    /// The API and the caller's credentials.
    #[command(flatten)]
    pub api: ApiAccess,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The refresh interval.
    #[command(flatten)]
    pub watch: Watch,
}

/// The calls to show.
#[derive(clap::Args, Debug)]
pub struct SessionsOptions {
    /// The call, as `acW68-` and its channel's UUID; all calls if omitted.
    #[arg(value_name = "UUID")]
    pub session: Option<CallId>,
    /// The API and the caller's credentials.
    #[command(flatten)]
    pub api: ApiAccess,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The refresh interval.
    #[command(flatten)]
    pub watch: Watch,
}

/// The events to show.
#[derive(clap::Args, Debug)]
pub struct TailOptions {
    /// Only events of this room, until it ends.
    #[arg(long, value_name = "ROOM_ID")]
    pub room: Option<RoomId>,
    /// Only events with these names or prefixes: `conference.member.*,call.*`; can be repeated.
    #[arg(long = "event", value_name = "NAMES", value_delimiter = ',')]
    pub events: Vec<String>,
    /// Starts behind the event with this id.
    // An id can start with a hyphen.
    #[arg(long, value_name = "ID", value_parser = event_id, allow_hyphen_values = true)]
    pub since: Option<String>,
    /// The API and the caller's credentials.
    #[command(flatten)]
    pub api: ApiAccess,
    /// Prints one JSON object per line: the event with its id.
    #[arg(long)]
    pub json: bool,
    /// Colours in the output.
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// The command for nodes.
#[derive(clap::Args, Debug)]
pub struct NodesOptions {
    /// The admin listener and its key.
    #[command(flatten)]
    pub listener: AdminListener,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The command.
    #[command(subcommand)]
    pub command: Option<NodeArguments>,
}

/// The command for apps.
#[derive(clap::Args, Debug)]
pub struct AppOptions {
    /// The admin listener and its key.
    #[command(flatten)]
    pub listener: AdminListener,
    /// The output format.
    #[command(flatten)]
    pub view: View,
    /// The command.
    #[command(subcommand)]
    pub command: AppArguments,
}

/// The recordings to replay.
#[derive(clap::Args, Debug)]
pub struct ReplayOptions {
    /// The recordings; - means standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The app that owns all calls and rooms. Without it and --config, the channel variable roomkeeper_app decides;
    /// calls without it belong to an app `replay`.
    #[arg(long, value_name = "APP_ID")]
    pub app: Option<AppId>,
    /// Determines the owners of calls with this configuration; calls without an owner are ignored.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The recorded node; if omitted, the node of the first room in the recording.
    #[arg(long, value_name = "NODE_ID")]
    pub node: Option<NodeId>,
    /// Also shows ignored events, calls without an owner, and requests for a snapshot.
    #[arg(long, short)]
    pub verbose: bool,
    /// Prints one JSON object per line; the last one, of the kind `end`, is the final state.
    #[arg(long)]
    pub json: bool,
    /// Colours in the output.
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// A part of the lab alone.
#[derive(Subcommand, Debug)]
pub enum LabPart {
    /// Prints each webhook that arrives at /hook, after verifying its signature.
    Receiver {
        /// The address to listen on.
        #[arg(long, default_value = "127.0.0.1:9999")]
        listen: SocketAddr,
        /// The signing secret of the webhooks, as in the configuration. Pass it in the environment to keep it out of
        /// the process list.
        #[arg(
            long,
            value_name = "WHSEC",
            env = "ROOMKEEPER_LAB_SECRET",
            hide_env_values = true
        )]
        secret: Secret,
        /// Colours in the output.
        #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
        color: ColorChoice,
    },
    /// Keeps calls coming in on real nodes, originated by the nodes through their dialplan.
    Callers {
        /// A node's Event Socket; can be repeated.
        #[arg(long = "node", value_name = "HOST:PORT", required = true)]
        nodes: Vec<String>,
        /// The nodes' password. Pass it in the environment to keep it out of the process list.
        #[arg(long, env = "RK_ESL_PASSWORD", hide_env_values = true, value_parser = password)]
        password: Password,
        /// The dialled number.
        #[arg(long, default_value = "747713001", value_parser = |text: &str| Number::new(text))]
        number: Number,
        /// The dialplan context of the number.
        #[arg(long, default_value = "inbound", value_parser = |text: &str| ContextName::new(text))]
        context: ContextName,
        /// The number of concurrent calls on each node.
        #[arg(long, default_value_t = 3)]
        calls: usize,
        /// The average duration of a call in seconds; actual calls vary by up to half of it.
        #[arg(long, value_name = "SECONDS", default_value_t = 180)]
        lasts: u32,
    },
}

/// Parses a password; the error does not contain it.
fn password(text: &str) -> Result<Password, Unfit> {
    Password::new(text)
}

/// Parses a password of a node that the configuration takes as text.
fn secret_password(text: &str) -> Result<SecretString, Unfit> {
    Password::new(text).map(|_| SecretString::from(text))
}

/// Parses `host:port`.
fn node_address(text: &str) -> Result<String, &'static str> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(port) if port != 0 => Ok(text.to_owned()),
        _ => Err("an Event Socket is HOST:PORT, for example 127.0.0.1:8021"),
    }
}

/// A configuration.
#[derive(clap::Args, Debug)]
pub struct ConfigFile {
    /// The configuration in TOML. Environment variables such as ROOMKEEPER_STORE__URL override it.
    #[arg(long = "config", value_name = "FILE", env = "ROOMKEEPER_CONFIG")]
    pub path: PathBuf,
}

impl ConfigFile {
    /// Reads the file and the environment.
    ///
    /// # Errors
    /// All errors of the configuration.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        // A variable that is not Unicode is no setting, or its absence is reported as an error.
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::load(&self.path, env)
    }
}

/// The API and the caller's credentials.
#[derive(clap::Args, Debug)]
pub struct ApiAccess {
    /// The controller's API.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ROOMKEEPER_API",
        default_value = "http://127.0.0.1:8080"
    )]
    pub api: Url,
    /// The calling app.
    #[arg(long, global = true, value_name = "APP_ID", env = "ROOMKEEPER_APP")]
    pub app: Option<AppId>,
    /// The key. Pass it in the environment to keep it out of the process list.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_KEY",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,
}

/// The admin listener and its key.
#[derive(clap::Args, Debug)]
pub struct AdminListener {
    /// The controller's admin listener.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "ROOMKEEPER_ADMIN",
        default_value = "http://127.0.0.1:9090"
    )]
    pub admin: Url,
    /// The key. Pass it in the environment to keep it out of the process list.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_ADMIN_KEY",
        hide_env_values = true
    )]
    pub admin_key: Option<SecretString>,
    /// A file with the key. Without both, a listener on loopback gets the generated key of this user's controller.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ROOMKEEPER_ADMIN_KEY_FILE"
    )]
    pub admin_key_file: Option<PathBuf>,
}

/// The output format.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct View {
    /// Prints the response as JSON, all pages in one document.
    #[arg(long, global = true)]
    pub json: bool,
    /// Shows times in UTC instead of the local time zone.
    #[arg(long, global = true)]
    pub utc: bool,
}

/// The refresh interval.
#[derive(clap::Args, Clone, Copy, Debug)]
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

/// A command for a node.
#[derive(Subcommand, Clone, Copy, Debug)]
pub enum NodeArguments {
    /// Stops creating rooms on a node. Present rooms and calls stay until they end.
    #[command(after_help = EXIT_CODES_WITH_WAIT)]
    Drain {
        /// The node's id.
        node_id: NodeId,
        /// Waits until the node is empty and shows the progress; Ctrl-C ends the wait, but not the drain.
        #[arg(long, action = ArgAction::SetTrue)]
        wait: bool,
    },
    /// Creates rooms on a node again.
    Undrain {
        /// The node's id.
        node_id: NodeId,
    },
    /// Compares a node with a snapshot now.
    #[command(after_help = EXIT_CODES_WITH_WAIT)]
    Resync {
        /// The node's id.
        node_id: NodeId,
        /// Waits until the comparison is complete.
        #[arg(long, action = ArgAction::SetTrue)]
        wait: bool,
    },
}

/// A command for apps.
#[derive(Subcommand, Debug)]
pub enum AppArguments {
    /// Creates an app and shows its key, only this once.
    Add {
        /// 1 to 64 characters of A-Z a-z 0-9 _ -
        app_id: AppId,
        /// A dialled number whose calls belong to the app; can be repeated.
        #[arg(long = "did", value_name = "NUMBER")]
        dids: Vec<String>,
        /// The app's UUID in the VoIPBIN API; derived from its id if omitted.
        #[arg(long, value_name = "UUID")]
        customer_id: Option<String>,
        /// The app's rate limit in requests per second; the configured default if omitted.
        #[arg(long, value_name = "N")]
        rate_limit: Option<u32>,
        /// The URL of its webhook endpoint. The signing secret is shown only this once.
        #[arg(long, value_name = "URL")]
        webhook_url: Option<String>,
    },
    /// Shows all apps, without their keys.
    List,
    /// Creates another key for an app and shows it, only this once. The previous key stays valid, older ones do not.
    RotateKey {
        /// The app's id.
        app_id: AppId,
    },
    /// Sets an app's rate limit in requests per second.
    RateLimit {
        /// The app's id.
        app_id: AppId,
        /// The rate limit; the configured default if omitted.
        #[arg(value_name = "N")]
        rate_limit: Option<u32>,
    },
    /// Disables an app's keys. Its calls stay up.
    Disable {
        /// The app's id.
        app_id: AppId,
    },
}

/// Parses an event id, which is sent as a header.
fn event_id(text: &str) -> Result<String, &'static str> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("an event id has only ASCII characters and no spaces")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_can_start_with_hyphen() {
        let typed = ["roomkeeper", "tail", "--since", "-zJ5Yx_Q", "--json"];
        let Command::Tail(TailOptions { since, json, .. }) =
            Arguments::try_parse_from(typed).unwrap().command
        else {
            panic!("the command is not tail");
        };
        assert_eq!(since.as_deref(), Some("-zJ5Yx_Q"));
        assert!(json);
    }
}
