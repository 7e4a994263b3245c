//! Inputs of a room.

use std::time::Duration;

use smol_str::SmolStr;

use crate::gather::{GatherResult, PressedDigit};
use crate::ids::{CallId, CommandUid, CoreId, MemberId, OperationId, RoomId};
use crate::play_url::PlayUrl;
use crate::time::Timestamp;

use super::audio::{Hold, HoldRequest};
use super::coach::CoachChange;
use super::details::Update;
use super::dial::DialInput;
use super::effect::{JoinFailure, LeftReason};
use super::flag::{FlagRequest, Flags, MemberFlag, ReportedFlags};
use super::level::ReportedLevels;
use super::member_settings::{MemberSettings, MemberUpdate};
use super::playback::PlayInput;
use super::recording::RecordInput;
use super::settings::Sparse;
use super::stamp::EventStamp;
use super::state::Registration;

/// A member of a conference, as an event or a snapshot reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportedMember {
    /// The call.
    pub call: CallId,
    /// The caller's number, used if the member is new.
    pub caller_id: SmolStr,
    /// The dialled number, used if the member is new.
    pub did: SmolStr,
    /// The membership id, used if the member is new.
    pub new_id: MemberId,
    /// Its flags.
    pub flags: ReportedFlags,
    /// Its levels, if reported.
    pub levels: ReportedLevels,
}

/// A member of another room that moves here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The call.
    pub call: CallId,
    /// The membership id.
    pub member: MemberId,
    /// Its caller's number.
    pub caller_id: SmolStr,
    /// The number dialled.
    pub did: SmolStr,
    /// The flags to enter with.
    pub flags: Flags,
    /// Its settings.
    pub settings: Sparse<MemberSettings>,
    /// Its hold, which begins again after it has entered.
    pub hold: Option<Hold>,
    /// The room that it comes from.
    pub from: RoomId,
    /// Its flags there.
    pub flags_before: Flags,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The move fails then.
    pub deadline: Timestamp,
}

/// A move to another room that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The call.
    pub call: CallId,
    /// The room that did not admit it.
    pub to: RoomId,
    /// The reason.
    pub reason: JoinFailure,
    /// The membership id, if it joins again.
    pub new_id: MemberId,
    /// Its caller's number.
    pub caller_id: SmolStr,
    /// The number dialled.
    pub did: SmolStr,
    /// Its flags before the move.
    pub flags: Flags,
    /// Its settings.
    pub settings: Sparse<MemberSettings>,
    /// Its hold, which begins again after it has entered.
    pub hold: Option<Hold>,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The new join fails then.
    pub deadline: Timestamp,
}

/// An input of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomInput {
    /// The room was created.
    Created(Registration),
    /// The room was created while its node cannot be reached.
    Unplaced,
    /// The node can be reached.
    Placed,
    /// The owner updates the details.
    Update {
        /// The update.
        update: Box<Update>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// The store has no record of the room, and its conference in FreeSWITCH carries this registration.
    Adopted {
        /// The registration.
        registration: Box<Registration>,
        /// True if a member hears the others, or is held.
        is_heard: bool,
    },
    /// The room must end: no call enters any longer, and all members are removed.
    Delete {
        /// The room ends then at the latest.
        deadline: Timestamp,
    },
    /// A caller requests that a call joins; the enter command goes out unless pre-actions come first.
    Join {
        /// The call.
        call: CallId,
        /// The membership id.
        member: MemberId,
        /// Its caller's number.
        caller_id: String,
        /// The number dialled.
        did: String,
        /// True to enter muted.
        muted: bool,
        /// Its settings.
        settings: Sparse<MemberSettings>,
        /// True if the call runs pre-actions first: [`RoomInput::Enter`] follows.
        has_pre_actions: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The join fails then.
        deadline: Timestamp,
    },
    /// A joining call has finished its pre-actions; the command goes out.
    Enter {
        /// The call.
        call: CallId,
        /// The join fails then.
        deadline: Timestamp,
    },
    /// A joining call must not enter.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// A joining call will not enter.
    NotEntered {
        /// The call.
        call: CallId,
        /// The reason.
        reason: JoinFailure,
    },
    /// A caller requests that a member leaves; the command goes out.
    Leave {
        /// The call.
        call: CallId,
        /// The reason.
        reason: LeftReason,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The leave is reverted then.
        deadline: Timestamp,
    },
    /// A caller requests that a member moves to another room, which gets [`RoomInput::MoveIn`].
    MoveOut {
        /// The call.
        call: CallId,
        /// The other room.
        to: RoomId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The leave is reverted then.
        deadline: Timestamp,
    },
    /// A member of another room moves here; the command goes out.
    MoveIn(Box<Arrival>),
    /// A member that was to move to another room did not get in there.
    MoveFailed(Box<Failed>),
    /// The owner updates the settings of a member.
    UpdateMember {
        /// The call.
        call: CallId,
        /// The update.
        update: Box<MemberUpdate>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// A caller requests a flag of a member; the command goes out.
    SetFlag {
        /// The call.
        call: CallId,
        /// The request.
        request: FlagRequest,
    },
    /// A caller requests to hold or unhold a member; the commands go out.
    Hold {
        /// The call.
        call: CallId,
        /// True holds it.
        on: bool,
        /// The music, and the id of its files.
        music: Option<(OperationId, PlayUrl)>,
        /// The request.
        request: HoldRequest,
    },
    /// FreeSWITCH refused to hold or unhold a member.
    HoldRefused {
        /// The call.
        call: CallId,
        /// True if it refused to hold it.
        on: bool,
    },
    /// FreeSWITCH refused to change whether a member hears the room.
    HearingRefused {
        /// The call.
        call: CallId,
    },
    /// A caller requests to lock or unlock the room; the command goes out if there is a conference.
    Lock {
        /// True locks it.
        lock: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// The request expires then.
        deadline: Timestamp,
    },
    /// FreeSWITCH refused to lock or unlock it.
    LockRefused {
        /// The requested value.
        lock: bool,
    },
    /// FreeSWITCH did not carry out a control of the conference.
    ControlFailed,
    /// A snapshot shows the time since a member talked last.
    Talked {
        /// The time.
        ago: Duration,
    },
    /// FreeSWITCH refused to take a member out.
    LeaveRefused {
        /// The call.
        call: CallId,
    },
    /// FreeSWITCH refused to set a flag of a member.
    FlagRefused {
        /// The call.
        call: CallId,
        /// The flag.
        flag: MemberFlag,
        /// The requested value.
        on: bool,
    },
    /// A conference instance began (`conference-create`, or a snapshot shows it).
    ConferenceStarted(EventStamp),
    /// A conference instance ended (`conference-destroy`, or two snapshots lack it).
    ConferenceEnded(EventStamp),
    /// The last member left the conference: FreeSWITCH is ending it.
    ConferenceEmptied(EventStamp),
    /// A call is in the conference, with these flags: `add-member`, any event with a member block, or a snapshot.
    MemberReported {
        /// The position of the event.
        at: EventStamp,
        /// The member.
        member: ReportedMember,
        /// True for the `add-member` itself: it may open a membership above the end of the last one.
        entered: bool,
    },
    /// A call has left the conference: `del-member`, its hang-up, its park, or two snapshots that lack it.
    MemberGone {
        /// The position of the event.
        at: EventStamp,
        /// The call.
        call: CallId,
        /// The reason, unless the member's status gives a better one.
        reason: LeftReason,
    },
    /// A member is being moved to another room, according to its event.
    Moving {
        /// The call.
        call: CallId,
        /// The member must have left by then.
        deadline: Timestamp,
    },
    /// The floor changed hands.
    Floor {
        /// The position of the event.
        at: EventStamp,
        /// The call that has the floor.
        holder: Option<CallId>,
    },
    /// The conference was locked or unlocked (`lock`, `unlock`), or a snapshot shows its lock.
    Locked {
        /// The position of the event.
        at: EventStamp,
        /// True if it is locked.
        locked: bool,
    },
    /// FreeSWITCH runs as another core, or is lost for good: every membership outside `core` is over.
    CoreChanged {
        /// The core that runs, if there is one.
        core: Option<CoreId>,
    },
    /// A member sent a digit that its app wants.
    Digit {
        /// The call.
        call: CallId,
        /// The digit.
        pressed: PressedDigit,
    },
    /// A member began or stopped talking, and its app wants a webhook about it.
    Talk {
        /// The call.
        call: CallId,
        /// True if it talks.
        talking: bool,
    },
    /// A muted member talks, and its app wants a webhook about it.
    MutedTalk {
        /// The call.
        call: CallId,
    },
    /// A request for digits of a member ended.
    Gathered {
        /// The call.
        call: CallId,
        /// The result.
        result: Box<GatherResult>,
    },
    /// FreeSWITCH runs as another core and may recover its calls: their memberships wait, everything else of another core
    /// is over.
    CoreRestarted {
        /// The core that runs.
        core: CoreId,
    },
    /// An input of the playback.
    Play(PlayInput),
    /// An input of the playback to one member.
    PlayTo {
        /// The call.
        call: CallId,
        /// The input.
        input: PlayInput,
    },
    /// An input of the recording.
    Record(RecordInput),
    /// A caller requests that a call coaches a member.
    Coach {
        /// The member.
        member: CallId,
        /// The coach.
        coach: CallId,
    },
    /// A coaching began, failed or ended.
    CoachChanged {
        /// The member.
        member: CallId,
        /// The coach.
        coach: CallId,
        /// The change.
        change: CoachChange,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
    /// An input of the dial-outs.
    Dial(DialInput),
    /// A deadline may have passed.
    Deadline,
}
