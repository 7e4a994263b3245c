//! The arguments of the command line and their help.
//!
//! Owns the names of commands, options and environment variables. Leaves out their effect.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use secrecy::SecretString;

use crate::config::{Config, ConfigErrors};
use crate::webhook::sign::Secret;
use freeswitch_esl::command::{ContextName, Number, Password, Unfit};
use roomkeeper_core::ids::{AppId, NodeId};

/// The exit codes of every command that sends requests to a controller.
macro_rules! exit_codes {
    () => {
        "Exit codes: 0 success; 1 the controller refused; 2 invalid arguments; 64 the context is invalid; \
         69 no controller answers; 77 the key is missing or wrong."
    };
}

/// The exit codes of commands that can wait.
macro_rules! exit_codes_with_wait {
    () => {
        "Exit codes: 0 success; 1 the controller refused, or the command failed; 2 invalid arguments; \
         64 the context is invalid; 69 no controller answers; 75 --wait timed out; 77 the key is missing or wrong; \
         130 a signal ended --wait early."
    };
}

/// The help below the options: examples.
macro_rules! examples {
    ($($line:literal),+ $(,)?) => {
        concat!("Examples:", $("\n  roomkeeper ", $line,)+)
    };
}

/// The help below the options of a command that sends requests: examples and exit codes.
macro_rules! client_help {
    ($($line:literal),+ $(,)?) => {
        concat!("Examples:", $("\n  roomkeeper ", $line,)+ "\n\n", exit_codes!())
    };
}

/// The help below the options of a command that can wait: examples and exit codes.
macro_rules! wait_help {
    ($($line:literal),+ $(,)?) => {
        concat!("Examples:", $("\n  roomkeeper ", $line,)+ "\n\n", exit_codes_with_wait!())
    };
}

mod access;
mod admin;
mod calls;
mod contexts;
mod members;
mod output;
mod rooms;
mod settings;
mod webhooks;

pub(in crate::cli) use access::listener_url;
pub use access::{AdminListener, AdminOptions, ApiAccess, ApiOptions, ContextChoice, FleetOptions};
pub use admin::{AppArguments, AppOptions, AuditOptions, NodeArguments, NodesOptions};
pub use calls::{CallArguments, CallOptions, CallReference, SessionsOptions};
pub use contexts::{ContextArguments, ContextOptions, ContextSettings};
pub use members::{MemberArguments, MemberCommand, MemberOptions, MemberTarget};
pub use output::{IdView, View, Wait, Watch};
pub use rooms::{Everyone, RoomArguments, RoomChange, RoomOptions, RoomReference, RoomsOptions};
pub use settings::{
    AnnouncementOptions, GatherOptions, JoinSettings, Levels, MemberSettings, Removable,
    RoomSettings, Spoken, Tones,
};
pub use webhooks::{WebhookArguments, WebhookOptions, WebhookReference};

/// Help text of `lab`.
const HELP_LAB: &str = "\
Examples:
  roomkeeper lab
  roomkeeper lab --port 0 --admin-port 0 --callers 10
  roomkeeper lab --freeswitch 127.0.0.1:8021 --password ClueCon

Exit codes: 0 a signal ended the lab; 1 it cannot run; 2 invalid arguments; 69 a port is in use, or FreeSWITCH is not available.";

/// Help text of `replay`.
const HELP_REPLAY: &str = "\
Examples:
  roomkeeper replay events.esl
  roomkeeper replay --app demo --json events.esl

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
    #[command(after_help = examples!("serve --config roomkeeper.toml"))]
    Serve(ConfigFile),
    /// Runs a demo in one process: a node, a controller, callers, and a webhook receiver that prints.
    ///
    /// The node is simulated, or a FreeSWITCH. A subcommand runs one part alone, next to a real controller and real nodes.
    #[command(args_conflicts_with_subcommands = true, after_help = HELP_LAB)]
    Lab {
        /// The settings of the demo.
        #[command(flatten)]
        options: LabOptions,
        /// The part to run alone.
        #[command(subcommand)]
        part: Option<LabPart>,
    },
    /// Runs only the simulated FreeSWITCH node.
    #[command(after_help = examples!("sim --callers 3"))]
    Sim(SimOptions),
    /// Shows an app's rooms, and creates, locks, records and deletes them.
    #[command(arg_required_else_help = true, after_help = client_help!("room list", "room lock standup --wait"))]
    Room(RoomOptions),
    /// Shows the members of a room, mutes, deafens and removes them.
    #[command(arg_required_else_help = true, after_help = client_help!("member list standup", "member mute standup 527121101"))]
    Member(MemberOptions),
    /// Shows an app's calls, answers them, ends them, and moves them into rooms and out of them.
    #[command(arg_required_else_help = true, after_help = client_help!("call list", "call join 527121101 standup --wait"))]
    Call(CallOptions),
    /// Shows an app's webhook endpoints and their deliveries, and changes them.
    #[command(arg_required_else_help = true, after_help = client_help!("webhook list", "webhook add https://app.example.com/hook"))]
    Webhook(WebhookOptions),
    /// The same as `room list` and `room show`.
    #[command(hide = true, after_help = client_help!("rooms", "rooms standup"))]
    Rooms(RoomsOptions),
    /// The same as `call list` and `call show`.
    #[command(hide = true, after_help = client_help!("sessions", "sessions 527121101"))]
    Sessions(SessionsOptions),
    /// Follows an app's events until Ctrl-C.
    ///
    /// When the connection ends, it reconnects and shows the events in between; if some are no longer stored, it shows
    /// stream.gap. Messages about the connection go to standard error.
    #[command(after_help = client_help!("tail", "tail --room standup --event 'conference.member.*'"))]
    Tail(TailOptions),
    /// Shows the nodes of a running controller, drains them, or resyncs them with a snapshot.
    #[command(after_help = client_help!("nodes", "nodes drain acW68 --wait"))]
    Nodes(NodesOptions),
    /// Creates, lists, changes and deletes apps of a running controller, through its admin listener.
    #[command(arg_required_else_help = true, after_help = client_help!("app list", "app add demo --did 747713001"))]
    App(AppOptions),
    /// Shows the audit log of a running controller, through its admin listener: the latest entries first.
    #[command(after_help = client_help!("audit", "audit --app-id demo --since 1h"))]
    Audit(AuditOptions),
    /// Shows and changes contexts: named addresses and keys of controllers.
    ///
    /// Contexts are in ~/.config/roomkeeper/contexts.toml, or in the same folder below XDG_CONFIG_HOME. Options and
    /// environment variables take precedence over the chosen context.
    #[command(arg_required_else_help = true, after_help = examples!("context set lab --api 127.0.0.1:8080 --app demo --key lab-key", "context use lab"))]
    Context(ContextOptions),
    /// Replays a recorded Event Socket stream and shows each webhook, each command, and the final state.
    ///
    /// A recording contains every byte that FreeSWITCH sent on an event connection. It goes through the controller's
    /// parser and rules; nothing is stored or sent. Rooms are assumed to exist before the recording and to belong to
    /// the app of their first member. Several recordings are replayed in order, as successive connections of one node.
    #[command(after_help = HELP_REPLAY)]
    Replay(ReplayOptions),
    /// Validates a configuration, including the environment, and shows the result without secrets.
    #[command(after_help = examples!("check --config roomkeeper.toml"))]
    Check(ConfigFile),
    /// Prints a shell's completion script.
    #[command(after_help = examples!("completions bash"))]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page, or writes one page for each command.
    #[command(after_help = examples!("man", "man --dir man1"))]
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

/// The events to show.
#[derive(clap::Args, Debug)]
pub struct TailOptions {
    /// Only events of this room, until it ends: its name, its id, or a unique prefix of its id.
    #[arg(long, value_name = "ROOM")]
    pub room: Option<String>,
    /// Only events with these names or prefixes: `conference.member.*,call.*`; can be repeated.
    #[arg(long = "event", value_name = "NAMES", value_delimiter = ',')]
    pub events: Vec<String>,
    /// Starts behind the event with this id.
    // An id can start with a hyphen.
    #[arg(long, value_name = "ID", value_parser = event_id, allow_hyphen_values = true)]
    pub since: Option<String>,
    /// The API and the caller's credentials.
    #[command(flatten)]
    pub access: ApiOptions,
    /// Prints one JSON object per line: the event with its id.
    #[arg(long)]
    pub json: bool,
    /// Colours in the output.
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
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
    #[command(after_help = examples!("lab receiver --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))]
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
    #[command(after_help = examples!("lab callers --node 127.0.0.1:8021 --password ClueCon --calls 10"))]
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
