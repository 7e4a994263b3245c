//! The arguments of `member`.

use clap::Subcommand;
use url::Url;

use super::access::ApiOptions;
use super::output::{IdView, Wait};
use super::rooms::RoomReference;
use super::settings::{GatherOptions, Levels, MemberSettings, Spoken, Tones};

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
    /// A command to a member.
    #[command(flatten)]
    Command(MemberCommand),
}

/// A command to a member, by one request.
#[derive(Subcommand, Debug)]
pub enum MemberCommand {
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
        /// The levels.
        #[command(flatten)]
        levels: Levels,
    },
    /// Changes settings of a member. An empty value removes a label.
    #[command(after_help = wait_help!("member update standup 527121101 --role moderator --wait", "member update standup 527121101 --label seat=3 --end-on-exit=false"))]
    Update {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The settings.
        #[command(flatten)]
        settings: MemberSettings,
    },
    /// Plays audio files to a member alone. With --wait it ends when they have been played.
    #[command(after_help = wait_help!("member play standup 527121101 https://cdn.example.com/announcement.wav"))]
    Play {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The files, by http or https.
        #[arg(required = true, value_name = "URL")]
        urls: Vec<Url>,
    },
    /// Speaks a text to a member alone. With --wait it ends when the text has been spoken.
    #[command(after_help = wait_help!("member say standup 527121101 'You are the only speaker now.'"))]
    Say {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The text.
        #[command(flatten)]
        text: Spoken,
    },
    /// Ends all files and texts of a member, but not its music on hold.
    #[command(after_help = wait_help!("member stop standup 527121101"))]
    Stop(MemberTarget),
    /// Asks a member for digits. With --wait it ends when there is a result.
    #[command(after_help = wait_help!("member gather standup 527121101 --max-digits 4 --timeout-ms 1000 --wait"))]
    Gather {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The request.
        #[command(flatten)]
        digits: GatherOptions,
    },
    /// Stops asking a member for digits.
    #[command(after_help = wait_help!("member gather-stop standup 527121101"))]
    GatherStop(MemberTarget),
    /// Sends tones to a member's telephone.
    #[command(after_help = wait_help!("member dtmf standup 527121101 1234#"))]
    Dtmf {
        /// The member.
        #[command(flatten)]
        target: MemberTarget,
        /// The tones.
        #[command(flatten)]
        tones: Tones,
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
