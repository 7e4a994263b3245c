//! Effects of an input on a room, as data. Nothing has happened yet: the reconciler commits first.

use std::fmt;

use crate::gather::{GatherResult, PressedDigit};
use crate::ids::{CallId, CommandUid, MemberId, RecordingId, RoomId};
use crate::play_url::PlayUrl;

use super::audio::Hold;
use super::coach::CoachChange;
use super::control::RoomControl;
use super::details::Update;
use super::dial::{DialChange, DialEvent, DialOutcome, DialRequest};
use super::flag::{Flags, MemberFlag};
use super::level::Level;
use super::member_settings::{MemberSettings, MemberUpdate};
use super::play::{MemberPlayEvent, PlayCommand, PlayEvent};
use super::recording::{RecordAction, RecordingChange};
use super::settings::Sparse;

/// The reason why a member left, as the webhook gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftReason {
    /// The call ended.
    Hangup,
    /// It was removed: by a leave, a kick, or FreeSWITCH's console.
    Removed,
    /// It went to another room.
    Moved,
    /// It is connected with somebody outside of the room.
    Transferred,
    /// The room was deleted.
    RoomDestroyed,
    /// The room's timeout passed.
    Timeout,
    /// Nobody talked in the room for too long.
    Silence,
    /// The node was lost or restarted.
    Orphan,
}

impl LeftReason {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Transferred => "transferred",
            Self::RoomDestroyed => "room_destroyed",
            Self::Timeout => "timeout",
            Self::Silence => "silence",
            Self::Orphan => "orphan",
        }
    }
}

impl fmt::Display for LeftReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason why a room ended, as the webhook gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// A member with `end_on_exit` left.
    MemberLeft,
}

impl EndReason {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemberLeft => "member_left",
        }
    }
}

/// The reason why a join failed, as the webhook gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinFailure {
    /// FreeSWITCH did not confirm it in time.
    Timeout,
    /// FreeSWITCH refused the command, or parked the call again (locked, full).
    Refused,
    /// The call ended first.
    Hangup,
    /// The room was deleted first.
    RoomDestroyed,
    /// The call went elsewhere first.
    Moved,
    /// The node was lost or restarted.
    Orphan,
    /// The call was removed before it entered.
    Removed,
    /// A pre-action of the call failed.
    ActionFailed,
    /// The caller did not enter the PIN of the room.
    Pin,
}

impl JoinFailure {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Hangup => "hangup",
            Self::RoomDestroyed => "room_destroyed",
            Self::Moved => "moved",
            Self::Orphan => "orphan",
            Self::Removed => "removed",
            Self::ActionFailed => "action_failed",
            Self::Pin => "pin",
        }
    }
}

/// A command of a room for FreeSWITCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomCommand {
    /// Transfers the call into the room.
    Enter {
        /// The call.
        call: CallId,
    },
    /// Transfers the call back into park.
    Park {
        /// The call.
        call: CallId,
    },
    /// Sets a flag of a member.
    SetFlag {
        /// The call.
        call: CallId,
        /// The flag.
        flag: MemberFlag,
        /// Its value.
        on: bool,
    },
    /// Holds or unholds a member.
    Hold {
        /// The call.
        call: CallId,
        /// True holds it.
        on: bool,
    },
    /// Lets a member hear the room or not, because of its hold. This is no change of the flag that its app sees.
    SetHearing {
        /// The call.
        call: CallId,
        /// True lets it hear.
        on: bool,
    },
    /// Sets a level of a member.
    SetLevel {
        /// The call.
        call: CallId,
        /// The level.
        level: Level,
        /// Its value.
        value: i32,
    },
    /// Locks or unlocks the conference.
    SetLock {
        /// True locks it.
        locked: bool,
    },
    /// Writes the registration on the conference, so that a lost store can be rebuilt from FreeSWITCH.
    Describe,
    /// Changes the conference.
    Control(RoomControl),
    /// Controls the playback.
    Play(PlayCommand),
    /// Controls the playback to one member.
    PlayTo {
        /// The call.
        call: CallId,
        /// The command.
        command: PlayCommand,
    },
    /// Starts, ends, pauses or resumes a recording.
    Record {
        /// The recorded member; `None` for the room itself.
        call: Option<CallId>,
        /// The recording.
        recording: RecordingId,
        /// The file on the node.
        path: String,
        /// The action.
        action: RecordAction,
    },
    /// Makes a call and puts it into the room once it is answered.
    Dial {
        /// The session that the call gets.
        call: CallId,
        /// The request.
        request: Box<DialRequest>,
    },
    /// Ends a call that is not answered yet.
    CancelDial {
        /// The session of the attempt.
        call: CallId,
    },
}

impl RoomCommand {
    /// Returns the call of the command, if it has one.
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::Enter { call }
            | Self::Park { call }
            | Self::SetFlag { call, .. }
            | Self::SetLevel { call, .. }
            | Self::Dial { call, .. }
            | Self::CancelDial { call }
            | Self::Hold { call, .. }
            | Self::SetHearing { call, .. }
            | Self::PlayTo { call, .. } => Some(*call),
            Self::Record { call, .. } => *call,
            Self::SetLock { .. } | Self::Describe | Self::Control(_) | Self::Play(_) => None,
        }
    }
}

/// A domain event of a room, with its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomNotification {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// The domain event.
    pub event: RoomEvent,
    /// The caller's id of the command that caused it.
    pub command_uid: Option<CommandUid>,
    /// True if derived from a snapshot, not from an event.
    pub synthesized: bool,
}

/// A domain event of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomEvent {
    /// The room was created.
    Created {
        /// Its name.
        name: String,
    },
    /// Its owner changed its details.
    Updated(Box<Update>),
    /// The members no longer wait for a moderator.
    Started {
        /// The member with which the conference starts; `None` if its app ended the wait.
        by: Option<CallId>,
    },
    /// The room was locked or unlocked.
    Locked {
        /// True if it is locked.
        locked: bool,
    },
    /// The room ended.
    Destroyed {
        /// The reason, if it is no request of its owner and no time limit.
        reason: Option<EndReason>,
    },
    /// A recording changed.
    Recording {
        /// The recorded member; `None` for the room itself.
        call: Option<CallId>,
        /// The recording.
        recording: RecordingId,
        /// The change.
        change: RecordingChange,
    },
    /// A member joined.
    MemberJoined {
        /// The call.
        call: CallId,
        /// The membership.
        member: MemberId,
        /// The caller's number.
        caller_id: String,
        /// The dialled number.
        did: String,
        /// True if it entered muted.
        muted: bool,
        /// Its settings.
        settings: Sparse<MemberSettings>,
        /// The room that it moved from.
        from: Option<RoomId>,
    },
    /// Settings of a member changed.
    MemberUpdated {
        /// The call.
        call: CallId,
        /// The changed settings.
        update: Box<MemberUpdate>,
    },
    /// A member left.
    MemberLeft {
        /// The call.
        call: CallId,
        /// The membership.
        member: MemberId,
        /// The reason.
        reason: LeftReason,
        /// The room that it moves to.
        to: Option<RoomId>,
    },
    /// A member did not get into the room that it was to move to: it stays here, or joins again.
    MoveFailed {
        /// The call.
        call: CallId,
        /// The other room.
        to: RoomId,
        /// The reason.
        reason: JoinFailure,
    },
    /// A member is in its room again after a restart of FreeSWITCH, which has recovered its call.
    MemberReconnected {
        /// The call.
        call: CallId,
        /// The membership, the same as before.
        member: MemberId,
    },
    /// A join failed.
    JoinFailed {
        /// The call.
        call: CallId,
        /// The membership that never began.
        member: MemberId,
        /// The reason.
        reason: JoinFailure,
    },
    /// A flag of a member changed.
    FlagChanged {
        /// The call.
        call: CallId,
        /// The flag.
        flag: MemberFlag,
        /// The new value.
        on: bool,
    },
    /// A member sent a digit.
    Digit {
        /// The call.
        call: CallId,
        /// The digit.
        pressed: PressedDigit,
    },
    /// A coaching began, failed or ended.
    Coach {
        /// The member that hears the coach.
        call: CallId,
        /// The coach.
        coach: CallId,
        /// The change.
        change: CoachChange,
    },
    /// A member was held or unheld.
    HoldChanged {
        /// The call.
        call: CallId,
        /// True if it is held.
        on: bool,
        /// Its music.
        music: Option<PlayUrl>,
    },
    /// A member began or stopped talking.
    Talking {
        /// The call.
        call: CallId,
        /// True if it talks.
        talking: bool,
    },
    /// A member talks although it is muted.
    TalkingMuted {
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
    /// An event of the playback.
    Play(PlayEvent),
    /// An event of the playback to one member.
    MemberPlay {
        /// The call.
        call: CallId,
        /// The event.
        event: MemberPlayEvent,
    },
    /// An event of a dial-out.
    Dial(DialEvent),
}

/// Declares the name of each event, and the list of all names.
macro_rules! named_events {
    ($($event:pat => $name:expr,)+) => {
        /// All names, in the order of the documentation.
        pub const NAMES: &[&str] = &[$($name),+];

        /// Returns the name of the event.
        pub const fn name(&self) -> &'static str {
            match self {
                $($event => $name,)+
            }
        }
    };
}
pub(crate) use named_events;

impl RoomEvent {
    named_events! {
        Self::Created { .. } => "conference.created",
        Self::Updated(_) | Self::Locked { .. } => "conference.updated",
        Self::Started { .. } => "conference.started",
        Self::Destroyed { .. } => "conference.destroyed",
        Self::MemberJoined { .. } => "conference.member.joined",
        Self::MemberUpdated { .. } => "conference.member.updated",
        Self::MemberLeft { .. } => "conference.member.left",
        Self::MemberReconnected { .. } => "conference.member.reconnected",
        Self::MoveFailed { .. } => "conference.member.move_failed",
        Self::FlagChanged { flag: MemberFlag::Speak, on: false, .. } => MemberFlag::Speak.names(false).event,
        Self::FlagChanged { flag: MemberFlag::Speak, on: true, .. } => MemberFlag::Speak.names(true).event,
        Self::FlagChanged { flag: MemberFlag::Hear, on: false, .. } => MemberFlag::Hear.names(false).event,
        Self::FlagChanged { flag: MemberFlag::Hear, on: true, .. } => MemberFlag::Hear.names(true).event,
        Self::HoldChanged { on: true, .. } => "conference.member.held",
        Self::HoldChanged { on: false, .. } => "conference.member.unheld",
        Self::JoinFailed { .. } => "conference.member.join_failed",
        Self::Digit { .. } => "conference.member.dtmf",
        Self::Talking { .. } => "conference.member.talking",
        Self::TalkingMuted { .. } => "conference.member.talking_muted",
        Self::Coach { change: CoachChange::Began, .. } => "conference.member.coached",
        Self::Coach { change: CoachChange::Ended(_), .. } => "conference.member.uncoached",
        Self::Coach { change: CoachChange::Failed(_), .. } => "conference.member.coach_failed",
        Self::Gathered { .. } => "conference.member.gathered",
        Self::MemberPlay { event: MemberPlayEvent::Started { .. }, .. } => "conference.member.play.started",
        Self::MemberPlay { event: MemberPlayEvent::Finished { .. }, .. } => "conference.member.play.finished",
        Self::MemberPlay { event: MemberPlayEvent::Stopped { .. }, .. } => "conference.member.play.stopped",
        Self::Play(PlayEvent::Started { .. }) => "conference.play.started",
        Self::Play(PlayEvent::Finished { .. }) => "conference.play.finished",
        Self::Play(PlayEvent::Paused { .. }) => "conference.play.paused",
        Self::Play(PlayEvent::Resumed { .. }) => "conference.play.resumed",
        Self::Play(PlayEvent::Stopped { .. }) => "conference.play.stopped",
        Self::Play(PlayEvent::VolumeChanged { .. }) => "conference.play.volume_changed",
        Self::Recording { call: None, change: RecordingChange::Started, .. } => "conference.recording.started",
        Self::Recording { call: None, change: RecordingChange::Stopped, .. } => "conference.recording.stopped",
        Self::Recording { call: None, change: RecordingChange::Paused, .. } => "conference.recording.paused",
        Self::Recording { call: None, change: RecordingChange::Resumed, .. } => "conference.recording.resumed",
        Self::Recording { call: None, change: RecordingChange::Failed(_), .. } => "conference.recording.failed",
        Self::Recording { call: Some(_), change: RecordingChange::Started, .. } => "conference.member.recording.started",
        Self::Recording { call: Some(_), change: RecordingChange::Stopped, .. } => "conference.member.recording.stopped",
        Self::Recording { call: Some(_), change: RecordingChange::Paused, .. } => "conference.member.recording.paused",
        Self::Recording { call: Some(_), change: RecordingChange::Resumed, .. } => "conference.member.recording.resumed",
        Self::Recording { call: Some(_), change: RecordingChange::Failed(_), .. } => "conference.member.recording.failed",
        Self::Dial(DialEvent { change: DialChange::Ringing, .. }) => "conference.call.ringing",
        Self::Dial(DialEvent { change: DialChange::Answered, .. }) => "conference.call.answered",
        Self::Dial(DialEvent { change: DialChange::Ended { outcome: DialOutcome::Busy, .. }, .. }) => "conference.call.busy",
        Self::Dial(DialEvent { change: DialChange::Ended { outcome: DialOutcome::NoAnswer, .. }, .. }) => "conference.call.no_answer",
        Self::Dial(DialEvent { change: DialChange::Ended { outcome: DialOutcome::Failed, .. }, .. }) => "conference.call.failed",
        Self::Dial(DialEvent { change: DialChange::Ended { outcome: DialOutcome::Cancelled, .. }, .. }) => "conference.call.cancelled",
    }

    /// Returns the call of the event, if it has one.
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::MemberJoined { call, .. }
            | Self::MemberUpdated { call, .. }
            | Self::MemberLeft { call, .. }
            | Self::MemberReconnected { call, .. }
            | Self::MoveFailed { call, .. }
            | Self::JoinFailed { call, .. }
            | Self::Coach { call, .. }
            | Self::FlagChanged { call, .. }
            | Self::Digit { call, .. }
            | Self::Talking { call, .. }
            | Self::TalkingMuted { call }
            | Self::HoldChanged { call, .. }
            | Self::Gathered { call, .. }
            | Self::MemberPlay { call, .. } => Some(*call),
            Self::Dial(event) => Some(event.session),
            Self::Created { .. }
            | Self::Updated(_)
            | Self::Started { .. }
            | Self::Locked { .. }
            | Self::Destroyed { .. }
            | Self::Play(_) => None,
            Self::Recording { call, .. } => *call,
        }
    }
}

impl LiveChange {
    named_events! {
        Self::Talking { .. } => "member.talking",
        Self::Floor { .. } => "member.floor",
    }
}

/// A change of the present moment, for live readers; it is never stored. It changes with every word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveChange {
    /// A member began or stopped talking. There is none when a talking member leaves.
    Talking {
        /// The call.
        call: CallId,
        /// The membership.
        member: MemberId,
        /// True if it talks.
        talking: bool,
    },
    /// The floor changed hands.
    Floor {
        /// The call that has the floor.
        holder: Option<CallId>,
        /// Its membership, if it has one.
        member: Option<MemberId>,
    },
}

/// An effect of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomEffect {
    /// Sends a command to FreeSWITCH.
    Command(RoomCommand),
    /// Notifies the app.
    Notify(RoomNotification),
    /// Notifies live readers.
    Live(LiveChange),
    /// A call that the room dialled was answered.
    CallDialled {
        /// The call.
        call: CallId,
        /// The caller's number, if the request has one.
        caller_id: Option<String>,
        /// The dialled destination.
        did: String,
        /// True if it joins the room; false if it must be hung up.
        joins: bool,
        /// True if derived from anything but the event of the answer.
        synthesized: bool,
    },
    /// Requests a snapshot: the events of a dial-out may be lost.
    CheckAgain,
    /// The call is in this room.
    CallEntered {
        /// The call.
        call: CallId,
        /// The sequence of the event.
        sequence: u64,
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
    /// The call has left this room.
    CallLeft {
        /// The call.
        call: CallId,
        /// The sequence of the event; `None` if no event shows it.
        sequence: Option<u64>,
        /// True if it is on its way to another room, or was.
        moved: bool,
    },
    /// The call is no longer on its way into this room, and came from another one, which takes it back.
    MoveFailed {
        /// The call.
        call: CallId,
        /// The room that it came from.
        from: RoomId,
        /// Its flags there.
        flags: Flags,
        /// Its settings.
        settings: Sparse<MemberSettings>,
        /// Its hold.
        hold: Option<Box<Hold>>,
        /// The reason.
        reason: JoinFailure,
        /// The caller's id of the move.
        command_uid: Option<CommandUid>,
    },
    /// The call is no longer on its way into this room.
    CallNotEntered {
        /// The call.
        call: CallId,
        /// True if FreeSWITCH gets a park command, because it may be about to let the call in.
        turned_away: bool,
    },
    /// The call is parked again, and FreeSWITCH gets another command to let it in.
    CallReenters {
        /// The call.
        call: CallId,
    },
    /// The call entered this room, which is over, and must be parked.
    CallStrayed {
        /// The call.
        call: CallId,
        /// The sequence of the event.
        sequence: u64,
    },
    /// A member that has a coach has left this room.
    CoachedLeft {
        /// The member.
        member: CallId,
        /// The coach.
        coach: CallId,
    },
    /// The call is still in this room after all.
    CallStays {
        /// The call.
        call: CallId,
    },
}
