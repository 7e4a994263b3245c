//! What can be typed, and its help.
//!
//! Owns the names of commands and options, and which variables stand for them. Leaves out what they do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use secrecy::SecretString;
use url::Url;

use crate::bench::{Scenario, Size, bare};
use crate::config::{Config, ConfigErrors};
use crate::esl::command::{ContextName, Number, Password, Unfit};
use crate::ids::{AppId, NodeId, RoomId, SessionId};
use crate::webhook::sign::Secret;

use super::apps::AppCommand;
use super::nodes::NodeCommand;

/// Said in the help of every command that asks a controller.
const EXIT_CODES: &str = "\
Exit codes: 0 it was done; 1 the controller refused; 2 the command is not one; 69 nobody answers; 77 the key is missing or wrong.";

/// Said in the help of `bench`.
const BENCH_EXIT_CODES: &str = "\
Exit codes: 0 all that is to be reached was, or it was a smoke run; 1 something was not, or nothing could be measured; 2 the command is not one.";

/// Said in the help of waits.
const EXIT_CODES_OF_WAITS: &str = "\
Exit codes: 0 it was done; 1 the controller refused; 2 the command is not one; 69 nobody answers; 77 the key is missing or wrong; \
130 ended by a signal before what --wait waits for was so.";

/// Said in the help of `replay`.
const EXIT_CODES_OF_REPLAY: &str = "\
Exit codes: 0 all was replayed, or up to a last message that is not whole; 2 the command is not one; 64 the configuration is wrong; \
65 a recording is not of Event Socket; 66 one cannot be read.";

/// Roomkeeper, a conference controller for FreeSWITCH.
#[derive(Parser, Debug)]
#[command(name = "roomkeeper", version, about, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
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
        /// Only this.
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
    /// Measures this program on this machine: simulated nodes, a redis-server and a controller, all its own.
    ///
    /// It needs redis-server and setpriv installed, takes minutes, and keeps the machine busy. The table is Markdown.
    #[command(after_help = BENCH_EXIT_CODES)]
    Bench {
        /// What is measured; without it, everything.
        #[arg(value_enum)]
        scenarios: Vec<Scenario>,
        /// How much of it is done.
        #[arg(long, value_enum, default_value = "full")]
        size: Size,
        /// How many nodes a whole fleet has (`idle`, `fleet`), where it is not the hundred that their figures are for: each of
        /// `fleet` has 10,000 calls.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
        nodes: Option<u16>,
        /// A real FreeSWITCH's Event Socket, for the scenarios that can use one. Its password is RK_ESL_PASSWORD.
        #[arg(long, value_name = "HOST:PORT", requires = "password")]
        freeswitch: Option<SocketAddr>,
        /// Its password. In the environment it is not seen in the list of processes.
        #[arg(long, env = "RK_ESL_PASSWORD", hide_env_values = true)]
        password: Option<String>,
        /// How often each is measured at most: again while the machine's host gave more than 1 % of its CPU time to others,
        /// or the machine was more than 15 % slower than at best. Shown is the run in which it was fastest.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
        tries: u16,
        /// For programs: JSON instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// The bare handler that `bench` holds reads against.
    #[command(name = bare::COMMAND, hide = true)]
    BenchBareHandler {
        /// Where it listens.
        listen: SocketAddr,
        /// The URL of its Redis.
        redis: String,
        /// What stands before the id in the keys.
        prefix: String,
    },
    /// Shows an app's rooms, or one room and who is in it.
    #[command(after_help = EXIT_CODES)]
    Rooms {
        /// The room; without it, all.
        room_id: Option<RoomId>,
        /// The API that is asked.
        #[command(flatten)]
        api: ApiAccess,
        /// How it is shown.
        #[command(flatten)]
        view: View,
        /// How often it is shown.
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows an app's calls, or one of them.
    #[command(after_help = EXIT_CODES)]
    Sessions {
        /// The call, as `acW68-` and its channel's uuid; without it, all.
        #[arg(value_name = "UUID")]
        session: Option<SessionId>,
        /// The API that is asked.
        #[command(flatten)]
        api: ApiAccess,
        /// How it is shown.
        #[command(flatten)]
        view: View,
        /// How often it is shown.
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows an app's events as they come, until Ctrl-C.
    ///
    /// When the connection ends it is made again, and what happened meanwhile is shown; what cannot be is told as
    /// stream.gap. What is said of the connection goes to standard error.
    #[command(after_help = EXIT_CODES)]
    Tail {
        /// Only what is of this room, until it is over.
        #[arg(long, value_name = "ROOM_ID")]
        room: Option<RoomId>,
        /// Only events of these names, or that begin so: `conference.member.*,call.*`; may be given more than once.
        #[arg(long = "event", value_name = "NAMES", value_delimiter = ',')]
        events: Vec<String>,
        /// Begins behind the event of this id.
        // An id can begin with a hyphen.
        #[arg(long, value_name = "ID", value_parser = event_id, allow_hyphen_values = true)]
        since: Option<String>,
        /// The API that is asked.
        #[command(flatten)]
        api: ApiAccess,
        /// Prints one JSON object a line: the event, with its id.
        #[arg(long)]
        json: bool,
        /// Whether to use colours.
        #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
        color: ColorChoice,
    },
    /// Shows the nodes of a running controller, drains them, or compares them with a snapshot.
    #[command(after_help = EXIT_CODES)]
    Nodes {
        /// The listener that is asked.
        #[command(flatten)]
        listener: AdminListener,
        /// How it is shown.
        #[command(flatten)]
        view: View,
        /// What to do.
        #[command(subcommand)]
        command: Option<NodeArguments>,
    },
    /// Makes, lists and closes apps of a running controller, through its admin listener.
    #[command(arg_required_else_help = true, after_help = EXIT_CODES)]
    App {
        /// The listener that is asked.
        #[command(flatten)]
        listener: AdminListener,
        /// How it is shown.
        #[command(flatten)]
        view: View,
        /// What to do.
        #[command(subcommand)]
        command: AppArguments,
    },
    /// Says what a recording of an Event Socket stream would do: each webhook, each order, and what is believed in the
    /// end.
    ///
    /// A recording is every byte that FreeSWITCH sent on a connection with events. It goes through the parser and the
    /// rules of the controller; nothing is stored, nobody is asked or told. Rooms are taken to have been made before,
    /// under the app of their first member. Several recordings are taken one after the other, as the connections of one
    /// node.
    #[command(after_help = EXIT_CODES_OF_REPLAY)]
    Replay {
        /// The recordings; - is standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// All calls and rooms are this app's. Without it and --config: whose their channel variable roomkeeper_app
        /// says, else of an app `replay`.
        #[arg(long, value_name = "APP_ID")]
        app: Option<AppId>,
        /// Whose the calls are is decided as with this configuration; what is nobody's is left alone.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The node that it is of; without it, that of the first room in it.
        #[arg(long, value_name = "NODE_ID")]
        node: Option<NodeId>,
        /// Also shows what means nothing, is nobody's, or would have a snapshot taken.
        #[arg(long, short)]
        verbose: bool,
        /// Prints one JSON object a line; the last one, of the kind `end`, is what is believed in the end.
        #[arg(long)]
        json: bool,
        /// Whether to use colours.
        #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
        color: ColorChoice,
    },
    /// Validates a configuration, the environment included, and shows what was understood, without its secrets.
    Check(ConfigFile),
    /// Prints what makes a shell complete commands and options.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Prints the manual page, or writes one for each command.
    Man {
        /// Writes them into this folder.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// A part of the lab alone.
#[derive(Subcommand, Debug)]
pub enum LabPart {
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

/// What is wrong with it is told without it.
fn password(text: &str) -> Result<Password, Unfit> {
    Password::new(text)
}

/// A configuration.
#[derive(clap::Args, Debug)]
pub struct ConfigFile {
    /// The configuration, in TOML. Variables such as ROOMKEEPER_STORE__URL win over it.
    #[arg(long = "config", value_name = "FILE", env = "ROOMKEEPER_CONFIG")]
    pub path: PathBuf,
}

impl ConfigFile {
    /// Reads it, and the environment.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        // What is not Unicode is not a setting of ours, or an error that its absence will show.
        let env = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Config::load(&self.path, env)
    }
}

/// The API, and who asks it.
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
    /// The app that asks.
    #[arg(long, global = true, value_name = "APP_ID", env = "ROOMKEEPER_APP")]
    pub app: Option<AppId>,
    /// Its key. In the environment it is not seen in the list of processes.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_KEY",
        hide_env_values = true
    )]
    pub key: Option<SecretString>,
}

/// The admin listener, and its key.
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
    /// Its key. In the environment it is not seen in the list of processes.
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "ROOMKEEPER_ADMIN_KEY",
        hide_env_values = true
    )]
    pub admin_key: Option<SecretString>,
    /// A file with its key. Without both, that of a controller of this user is used, for a listener on loopback.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ROOMKEEPER_ADMIN_KEY_FILE"
    )]
    pub admin_key_file: Option<PathBuf>,
}

/// How an answer is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct View {
    /// Prints the answer as JSON, all pages in one document.
    #[arg(long, global = true)]
    pub json: bool,
    /// Shows times in UTC; without it, in the zone of this machine.
    #[arg(long, global = true)]
    pub utc: bool,
}

/// How often it is shown.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Watch {
    /// Shows it again every so many seconds (2), until Ctrl-C.
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
    /// Between two times.
    pub fn interval(self) -> Option<Duration> {
        self.watch
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// What to do with nodes.
#[derive(Subcommand, Clone, Copy, Debug)]
pub enum NodeArguments {
    /// Makes no new room on a node. What is there stays until it ends.
    #[command(after_help = EXIT_CODES_OF_WAITS)]
    Drain {
        /// Which.
        node_id: NodeId,
        /// Waits until nothing is left on it, and shows how much is; Ctrl-C ends the wait, and the node drains on.
        #[arg(long, action = ArgAction::SetTrue)]
        wait: bool,
    },
    /// Makes new rooms on a node again.
    Undrain {
        /// Which.
        node_id: NodeId,
    },
    /// Compares a node with a snapshot, now.
    #[command(after_help = EXIT_CODES_OF_WAITS)]
    Resync {
        /// Which.
        node_id: NodeId,
        /// Waits until it was compared.
        #[arg(long, action = ArgAction::SetTrue)]
        wait: bool,
    },
}

impl From<Option<NodeArguments>> for NodeCommand {
    fn from(arguments: Option<NodeArguments>) -> Self {
        match arguments {
            None => Self::List,
            Some(NodeArguments::Drain { node_id: id, wait }) => Self::Drain { id, wait },
            Some(NodeArguments::Undrain { node_id: id }) => Self::Undrain { id },
            Some(NodeArguments::Resync { node_id: id, wait }) => Self::Resync { id, wait },
        }
    }
}

/// What to do with apps.
#[derive(Subcommand, Debug)]
pub enum AppArguments {
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

/// An id of an event, which is sent as a header.
fn event_id(text: &str) -> Result<String, &'static str> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("an event's id has no spaces and only ASCII characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_an_event_can_begin_with_a_hyphen() {
        let typed = ["roomkeeper", "tail", "--since", "-zJ5Yx_Q", "--json"];
        let Command::Tail { since, json, .. } = Arguments::try_parse_from(typed).unwrap().command
        else {
            panic!("it is tail");
        };
        assert_eq!(since.as_deref(), Some("-zJ5Yx_Q"));
        assert!(json);
    }
}
