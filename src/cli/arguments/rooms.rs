//! The arguments of `room`.

use clap::Subcommand;
use url::Url;

use roomkeeper_core::ids::NodeId;

use super::access::{ApiOptions, FleetOptions};
use super::output::{IdView, Wait, Watch};
use super::settings::{AnnouncementOptions, RoomSettings, Spoken};

/// The command for rooms.
#[derive(clap::Args, Debug)]
pub struct RoomOptions {
    /// The connection.
    #[command(flatten)]
    pub access: FleetOptions,
    /// The output format.
    #[command(flatten)]
    pub view: IdView,
    /// The command.
    #[command(subcommand)]
    pub command: RoomArguments,
}

/// The rooms to show.
#[derive(clap::Args, Debug)]
pub struct RoomsOptions {
    /// The connection.
    #[command(flatten)]
    pub access: ApiOptions,
    /// The output format.
    #[command(flatten)]
    pub view: IdView,
    /// The refresh interval.
    #[command(flatten)]
    pub watch: Watch,
    /// The room; all rooms if omitted.
    pub room: Option<String>,
}

/// The name or id of a room.
#[derive(clap::Args, Clone, Debug)]
pub struct RoomReference {
    /// The room: its name, its id, or a unique prefix of its id, with or without the node.
    pub room: String,
}

/// The members of a room, for a command to all of them.
#[derive(clap::Args, Clone, Debug)]
pub struct Everyone {
    /// The room.
    #[command(flatten)]
    pub target: RoomReference,
    /// Leaves out this member: its caller's number if unique, its call's id, or a unique prefix of that id. Can be repeated.
    #[arg(long, value_name = "MEMBER")]
    pub except: Vec<String>,
    /// Leaves out moderators.
    #[arg(long)]
    pub except_moderators: bool,
    /// The wait, for each member.
    #[command(flatten)]
    pub wait: Wait,
}

/// A command for rooms.
#[derive(Subcommand, Debug)]
pub enum RoomArguments {
    /// Shows all rooms.
    #[command(after_help = client_help!("room list", "room list --json", "room list --all-apps --node acW68"))]
    List {
        /// Only rooms on this node.
        #[arg(long, value_name = "NODE_ID")]
        node: Option<NodeId>,
        /// The refresh interval.
        #[command(flatten)]
        watch: Watch,
    },
    /// Shows a room and its members.
    #[command(after_help = client_help!("room show standup", "room show acW68-room-d3249143 --full-ids"))]
    Show {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The refresh interval.
        #[command(flatten)]
        watch: Watch,
    },
    /// Creates a room.
    #[command(after_help = wait_help!("room create standup", "room create standup --wait-for-moderator", "room create standup --call 527121101 --wait"))]
    Create {
        /// 1 to 64 characters of A-Z a-z 0-9 _ -, unique among the app's rooms.
        name: String,
        /// The node; if omitted, the least loaded one.
        #[arg(long, value_name = "NODE_ID", conflicts_with = "call")]
        node: Option<NodeId>,
        /// Creates the room on the node of this call.
        #[arg(long, value_name = "CALL")]
        call: Option<String>,
        /// The settings.
        #[command(flatten)]
        settings: Box<RoomSettings>,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Deletes a room. Its members are parked and stay up.
    #[command(after_help = wait_help!("room delete standup", "room delete standup --yes --wait"))]
    Delete {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// Deletes it without a question.
        #[arg(long, short)]
        yes: bool,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Mutes the members of a room by one request.
    #[command(after_help = wait_help!("room mute-all standup --wait", "room mute-all standup --except-moderators --except 527121101"))]
    MuteAll(Everyone),
    /// Unmutes the members of a room by one request.
    #[command(after_help = wait_help!("room unmute-all standup"))]
    UnmuteAll(Everyone),
    /// Ends the calls of the members of a room by one request. The room stays.
    #[command(after_help = wait_help!("room hangup-all standup", "room hangup-all standup --except-moderators --yes --wait"))]
    HangupAll {
        /// The members.
        #[command(flatten)]
        members: Everyone,
        /// Hangs up without a question.
        #[arg(long, short)]
        yes: bool,
    },
    /// A change of an existing room.
    #[command(flatten)]
    Change(RoomChange),
}

/// A change of an existing room, by one request.
#[derive(Subcommand, Debug)]
pub enum RoomChange {
    /// Locks a room: no further call can join.
    #[command(after_help = wait_help!("room lock standup --wait"))]
    Lock {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Unlocks a room.
    #[command(after_help = wait_help!("room unlock standup"))]
    Unlock {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Changes settings of a room. An empty value removes a setting, 0 a limit.
    #[command(after_help = wait_help!("room update standup --max-members 20 --label team=sales", "room update standup --alone-url '' --wait-for-moderator=false"))]
    Update {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The settings.
        #[command(flatten)]
        settings: Box<RoomSettings>,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Sets or removes the PIN that callers enter before they join a room.
    #[command(after_help = wait_help!("room pin standup 4711", "room pin standup --remove"))]
    Pin {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// 4 to 16 digits. Other users of this machine can see them while the command runs.
        #[arg(required_unless_present = "remove", conflicts_with = "remove")]
        pin: Option<String>,
        /// Removes the PIN.
        #[arg(long)]
        remove: bool,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Plays audio files to a room, after those that play already. With --wait it ends when they have been played.
    #[command(after_help = wait_help!("room play standup https://cdn.example.com/announcement.wav"))]
    Play {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The files, by http or https.
        #[arg(required = true, value_name = "URL")]
        urls: Vec<Url>,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Speaks a text to a room, after what plays already. With --wait it ends when the text has been spoken.
    #[command(after_help = wait_help!("room say standup 'The conference ends in five minutes.'"))]
    Say {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The text.
        #[command(flatten)]
        text: Spoken,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Ends all playback of a room.
    #[command(after_help = wait_help!("room stop standup"))]
    Stop {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Pauses the playback of a room, or resumes a paused one.
    #[command(after_help = wait_help!("room pause standup --wait"))]
    Pause {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Sets the playback volume of a room.
    #[command(after_help = wait_help!("room volume standup -6"))]
    Volume {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// Decibels, -50 to 7.
        #[arg(value_name = "DB", allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-50..=7))]
        volume: i8,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Starts the recording of a room.
    #[command(after_help = wait_help!("room record standup --wait"))]
    Record {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The announcement; that of the room if omitted.
        #[command(flatten)]
        announcement: AnnouncementOptions,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Ends the recording of a room.
    #[command(after_help = wait_help!("room record-stop standup --wait"))]
    RecordStop {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Pauses the recording of a room: the pause is cut out of the file.
    #[command(after_help = wait_help!("room record-pause standup --wait"))]
    RecordPause {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Resumes the recording of a room.
    #[command(after_help = wait_help!("room record-resume standup --wait"))]
    RecordResume {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait.
        #[command(flatten)]
        wait: Wait,
    },
}
