//! The arguments of `room` and `member`.

use clap::Subcommand;
use url::Url;

use roomkeeper_core::ids::NodeId;

use super::access::{ApiOptions, FleetOptions};
use super::output::{IdView, Wait, Watch};

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
        /// Members wait until a moderator joins.
        #[arg(long)]
        wait_for_moderator: bool,
        /// The file that each of them hears meanwhile, by http or https.
        #[arg(long, value_name = "URL", requires = "wait_for_moderator")]
        wait_url: Option<Url>,
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
    /// Mutes every member of a room.
    #[command(after_help = wait_help!("room mute-all standup --wait"))]
    MuteAll {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait, for each member.
        #[command(flatten)]
        wait: Wait,
    },
    /// Unmutes every member of a room.
    #[command(after_help = wait_help!("room unmute-all standup"))]
    UnmuteAll {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
        /// The wait, for each member.
        #[command(flatten)]
        wait: Wait,
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

/// The command for members.
#[derive(clap::Args, Debug)]
pub struct MemberOptions {
    /// The connection.
    #[command(flatten)]
    pub access: ApiOptions,
    /// The output format.
    #[command(flatten)]
    pub view: IdView,
    /// The command.
    #[command(subcommand)]
    pub command: MemberArguments,
}

/// A member of a room, for a command.
#[derive(clap::Args, Clone, Debug)]
pub struct MemberTarget {
    /// The room: its name, its id, or a unique prefix of its id, with or without the node.
    pub room: String,
    /// The member: its caller's number if unique, its call's id, or a unique prefix of that id.
    pub member: String,
    /// The wait.
    #[command(flatten)]
    pub wait: Wait,
}

/// A command for members.
#[derive(Subcommand, Debug)]
pub enum MemberArguments {
    /// Shows the members of a room.
    #[command(after_help = client_help!("member list standup", "member list standup --json"))]
    List {
        /// The room.
        #[command(flatten)]
        target: RoomReference,
    },
    /// Mutes a member: the others no longer hear it.
    #[command(after_help = wait_help!("member mute standup 527121101 --wait"))]
    Mute(MemberTarget),
    /// Unmutes a member.
    #[command(after_help = wait_help!("member unmute standup 527121101"))]
    Unmute(MemberTarget),
    /// Deafens a member: it no longer hears the room.
    #[command(after_help = wait_help!("member deaf standup 527121101 --wait"))]
    Deaf(MemberTarget),
    /// Undeafens a member.
    #[command(after_help = wait_help!("member undeaf standup 527121101"))]
    Undeaf(MemberTarget),
    /// Puts a member on hold: it neither hears the room nor is heard.
    #[command(after_help = wait_help!("member hold standup 527121101 --wait"))]
    Hold {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The URL of the music. If omitted, the member hears silence.
        #[arg(long)]
        music: Option<String>,
    },
    /// Takes a member off hold.
    #[command(after_help = wait_help!("member unhold standup 527121101"))]
    Unhold(MemberTarget),
    /// Sets how loud a member is heard, how loud it hears, and from which energy on it is heard.
    #[command(after_help = wait_help!("member volume standup 527121101 --in 2 --wait"))]
    Volume {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The volume of what the member says, -4 to 4.
        #[arg(long = "in", value_name = "VOLUME", allow_negative_numbers = true, required_unless_present_any = ["volume_out", "energy"])]
        volume_in: Option<i8>,
        /// The volume of what the member hears, -4 to 4.
        #[arg(long = "out", value_name = "VOLUME", allow_negative_numbers = true)]
        volume_out: Option<i8>,
        /// The energy above which the member is heard, 0 to 1800.
        #[arg(long)]
        energy: Option<u16>,
    },
    /// Moves a member to another room of its node.
    #[command(after_help = wait_help!("member move standup 527121101 breakout --wait"))]
    Move {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The other room, in the same forms.
        to: String,
        /// Enters the other room muted (true) or unmuted (false). If omitted, the member stays as it is.
        #[arg(long)]
        muted: Option<bool>,
    },
    /// Starts the recording of a single member.
    #[command(after_help = wait_help!("member record standup 527121101 --wait"))]
    Record(MemberTarget),
    /// Ends the recording of a member.
    #[command(after_help = wait_help!("member record-stop standup 527121101 --wait"))]
    RecordStop(MemberTarget),
    /// Pauses the recording of a member: the file has silence for that time.
    #[command(after_help = wait_help!("member record-pause standup 527121101 --wait"))]
    RecordPause(MemberTarget),
    /// Resumes the recording of a member.
    #[command(after_help = wait_help!("member record-resume standup 527121101 --wait"))]
    RecordResume(MemberTarget),
    /// Lets a parked call coach a member: the member alone hears it.
    #[command(after_help = wait_help!("member coach standup 527121101 527121109 --wait"))]
    Coach {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The coach: its caller's number if unique, its id, or a unique prefix of that id.
        coach: String,
    },
    /// Ends the coaching of a member. The coach is parked.
    #[command(after_help = wait_help!("member uncoach standup 527121101 --wait"))]
    Uncoach(MemberTarget),
    /// Removes a member from its room. Its call is parked and stays up.
    #[command(after_help = wait_help!("member kick standup acW68-04c64c27 --wait"))]
    Kick(MemberTarget),
}
