//! The arguments of `call`.

use clap::Subcommand;

use roomkeeper_core::ids::{CallId, NodeId};

use super::access::{ApiOptions, FleetOptions};
use super::output::{IdView, Wait, Watch};
use super::settings::{GatherOptions, JoinSettings, Tones};

/// The command for calls.
#[derive(clap::Args, Debug)]
pub struct CallOptions {
    /// The connection.
    #[command(flatten)]
    pub access: FleetOptions,
    /// The output format.
    #[command(flatten)]
    pub view: IdView,
    /// The command.
    #[command(subcommand)]
    pub command: CallArguments,
}

/// The calls to show.
#[derive(clap::Args, Debug)]
pub struct SessionsOptions {
    /// The connection.
    #[command(flatten)]
    pub access: ApiOptions,
    /// The output format.
    #[command(flatten)]
    pub view: IdView,
    /// The refresh interval.
    #[command(flatten)]
    pub watch: Watch,
    /// The call; all calls if omitted.
    pub call: Option<String>,
}

/// The id or the caller's number of a call.
#[derive(clap::Args, Clone, Debug)]
pub struct CallReference {
    /// The call: its caller's number if unique, its id, or a unique prefix of its id, with or without the node.
    pub call: String,
}

/// A command for calls.
#[derive(Subcommand, Debug)]
pub enum CallArguments {
    /// Shows all calls.
    #[command(after_help = client_help!("call list", "call list --state parked", "call list --all-apps --node acW68"))]
    List {
        /// Only calls on this node.
        #[arg(long, value_name = "NODE_ID")]
        node: Option<NodeId>,
        /// Only calls in this state.
        #[arg(long, value_parser = ["ringing", "parked", "acting", "coaching", "transferring", "transferred", "joining", "in_room", "leaving"])]
        state: Option<String>,
        /// The refresh interval.
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows a call.
    #[command(after_help = client_help!("call show 527121101", "call show acW68-04c64c27 --json"))]
    Show {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The refresh interval.
        #[command(flatten)]
        watch: Watch,
    },
    /// Finds calls whose caller's or dialled number contains a number.
    #[command(after_help = client_help!("call search 527121101", "call search 527121101 --all-apps"))]
    Search {
        /// The number or a part of it.
        number: String,
    },
    /// Calls somebody into a room. With --wait it ends when the callee has answered.
    #[command(after_help = wait_help!("call dial standup +493012345 --wait", "call dial standup bob@pbx.example.com --from +493099999 --retries 2"))]
    Dial {
        /// The room: its name, its id, or a unique prefix of its id, with or without the node.
        room: String,
        /// A number or a SIP address. The configuration must allow it.
        to: String,
        /// The caller's number that the callee sees.
        #[arg(long, value_name = "NUMBER")]
        from: Option<String>,
        /// The caller's name that the callee sees.
        #[arg(long, value_name = "NAME")]
        caller_name: Option<String>,
        /// Seconds for an answer; 60 if omitted.
        #[arg(long, value_name = "SECONDS")]
        answer_within: Option<u16>,
        /// The number of further attempts.
        #[arg(long, value_name = "N")]
        retries: Option<u8>,
        /// The callee joins muted.
        #[arg(long)]
        muted: bool,
        /// The settings.
        #[command(flatten)]
        settings: JoinSettings,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Shows the dial-outs of a room that are in progress.
    #[command(after_help = client_help!("call dialling standup"))]
    Dialling {
        /// The room: its name, its id, or a unique prefix of its id, with or without the node.
        room: String,
    },
    /// Cancels a dial-out before the callee answers.
    #[command(after_help = wait_help!("call cancel standup acW68-04c64c27-1498-4edb-a694-ac208e579e94 --wait"))]
    Cancel {
        /// The room: its name, its id, or a unique prefix of its id, with or without the node.
        room: String,
        /// The id of the dial-out.
        dial_out: CallId,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Connects a call with somebody outside of every room. It leaves its room first, and is parked afterwards. With
    /// --wait it ends when the other side has answered.
    #[command(after_help = wait_help!("call transfer 527121101 +493012345 --wait", "call transfer 527121101 --extension 1000 --context desk"))]
    Transfer {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// A number or a SIP address. The configuration must allow it.
        #[arg(required_unless_present = "extension", conflicts_with = "extension")]
        to: Option<String>,
        /// An extension of the node's dialplan, instead of a number.
        #[arg(long, requires = "context")]
        extension: Option<String>,
        /// The context of the extension. The configuration must allow it.
        #[arg(long, requires = "extension")]
        context: Option<String>,
        /// The caller's number that the other side sees.
        #[arg(long, value_name = "NUMBER")]
        from: Option<String>,
        /// The caller's name that the other side sees.
        #[arg(long, value_name = "NAME")]
        caller_name: Option<String>,
        /// Seconds for an answer; 60 if omitted.
        #[arg(long, value_name = "SECONDS")]
        answer_within: Option<u16>,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Ends a transfer. The call is parked.
    #[command(after_help = wait_help!("call transfer-cancel 527121101 --wait"))]
    TransferCancel {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Answers a call.
    #[command(after_help = wait_help!("call answer 527121101 --wait"))]
    Answer {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Ends a call.
    #[command(after_help = wait_help!("call hangup 527121101 --wait", "call hangup acW68-04c64c27 --cause USER_BUSY"))]
    Hangup {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// FreeSWITCH's name of the cause; NORMAL_CLEARING if omitted.
        #[arg(long)]
        cause: Option<String>,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Asks the caller for digits, in a room or parked. With --wait it ends when there is a result.
    #[command(after_help = wait_help!("call gather 527121101 --max-digits 4 --wait", "call gather 527121101 --max-digits 1 --prompt-url https://cdn.example.com/menu.wav --tries 3"))]
    Gather {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The request.
        #[command(flatten)]
        digits: GatherOptions,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Stops asking the caller for digits.
    #[command(after_help = wait_help!("call gather-stop 527121101"))]
    GatherStop {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Sends tones to a call.
    #[command(after_help = wait_help!("call dtmf 527121101 1234#"))]
    Dtmf {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The tones.
        #[command(flatten)]
        tones: Tones,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Moves a call into a room.
    #[command(after_help = wait_help!("call join 527121101 standup --wait", "call join acW68-04c64c27 standup --unmuted --moderator"))]
    Join {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The room: its name, its id, or a unique prefix of its id, with or without the node.
        room: String,
        /// The others hear the member from the start; without this, it joins muted.
        #[arg(long)]
        unmuted: bool,
        /// Does not ask the caller for the PIN of the room.
        #[arg(long)]
        skip_pin: bool,
        /// The settings.
        #[command(flatten)]
        settings: JoinSettings,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Removes a call from its room. It is parked and stays up.
    #[command(after_help = wait_help!("call leave 527121101 --wait"))]
    Leave {
        /// The call.
        #[command(flatten)]
        target: CallReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
}
