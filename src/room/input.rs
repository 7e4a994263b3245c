//! What can happen to a room.

use smol_str::SmolStr;

use crate::ids::{CommandUid, ConferenceId, CoreId, MemberId, SessionId};
use crate::time::Timestamp;

use super::details::Update;
use super::effect::{JoinFailure, LeftReason};
use super::playback::PlayInput;
use super::recording::RecordInput;
use super::state::{Flags, Registration, Sequence};

/// Where an event of FreeSWITCH stands, or the fence of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventStamp {
    /// The run of FreeSWITCH.
    pub core: CoreId,
    /// The life of the conference.
    pub conference: ConferenceId,
    /// `Event-Sequence`, or that of the fence.
    pub sequence: Sequence,
    /// Known from a snapshot, not from an event: `sequence` is the fence's.
    pub synthesized: bool,
}

/// A channel seen in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// Its session.
    pub session: SessionId,
    /// The caller's number, should the member be new.
    pub caller_id: SmolStr,
    /// The number dialled, should the member be new.
    pub did: SmolStr,
    /// The id the member gets, should it be new.
    pub fresh: MemberId,
    /// As FreeSWITCH tells them. `None` where the teller cannot know (a snapshot says nothing of the speech of a held
    /// member).
    pub speak: Option<bool>,
    /// Like `speak`.
    pub hear: Option<bool>,
    /// On hold.
    pub hold: bool,
    /// Speaking right now.
    pub talking: bool,
}

impl Who {
    pub(crate) fn flags_over(&self, believed: Flags) -> Flags {
        Flags {
            speak: self.speak.unwrap_or(believed.speak),
            hear: self.hear.unwrap_or(believed.hear),
            hold: self.hold,
            talking: self.talking,
        }
    }
}

/// What can happen to a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomInput {
    /// It was asked for.
    Created(Registration),
    /// It was asked for, and its node cannot be reached just then.
    Unplaced,
    /// Its node is reached.
    Placed,
    /// Its owner changes what it says of it.
    Update(Update),
    /// The store knew nothing of it, and its conference in FreeSWITCH says what it was asked for as.
    Adopted(Registration),
    /// It is to end: nobody comes in any more, whoever is in is taken out.
    Delete {
        /// At the latest then it is over.
        deadline: Timestamp,
    },
    /// A session was asked to join; the command goes out, unless there is something to do before.
    Join {
        /// The session.
        session: SessionId,
        /// The id of its stay.
        member: MemberId,
        /// Its caller's number.
        caller_id: String,
        /// The number dialled.
        did: String,
        /// Comes in muted.
        muted: bool,
        /// The call has something to do first: [`RoomInput::Enter`] follows.
        acts: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// Given up then.
        deadline: Timestamp,
    },
    /// A joining session has done what it had to do; the command goes out.
    Enter {
        /// The session.
        session: SessionId,
        /// Given up then.
        deadline: Timestamp,
    },
    /// A joining session is not to come in.
    Cancel {
        /// The session.
        session: SessionId,
    },
    /// A joining session will not come.
    NotEntered {
        /// The session.
        session: SessionId,
        /// Why.
        reason: JoinFailure,
    },
    /// A member was asked to leave; the command goes out.
    Leave {
        /// The session.
        session: SessionId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// Taken back then.
        deadline: Timestamp,
    },
    /// A member was asked to be muted or unmuted; the command goes out.
    Mute {
        /// The session.
        session: SessionId,
        /// Muted, or unmuted.
        mute: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// Forgotten then.
        deadline: Timestamp,
    },
    /// The room was asked to be locked or unlocked; the command goes out, if there is a conference.
    Lock {
        /// Locked, or unlocked.
        lock: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// Forgotten then.
        deadline: Timestamp,
    },
    /// FreeSWITCH refused to lock or unlock it.
    LockRefused {
        /// What was asked.
        lock: bool,
    },
    /// FreeSWITCH refused to take a member out.
    LeaveRefused {
        /// The session.
        session: SessionId,
    },
    /// FreeSWITCH refused to mute or unmute a member.
    MuteRefused {
        /// The session.
        session: SessionId,
        /// What was asked.
        mute: bool,
    },
    /// The conference came to life (`conference-create`, or a snapshot shows it).
    ConferenceStarted(EventStamp),
    /// The conference is over (`conference-destroy`, or a snapshot lacks it).
    ConferenceEnded(EventStamp),
    /// The last member left the conference: FreeSWITCH is ending it.
    ConferenceEmptied(EventStamp),
    /// A channel is in the conference, with these flags: `add-member`, any event with a member block, a snapshot.
    Seen {
        /// Where the event stands.
        at: EventStamp,
        /// Who, and how.
        who: Who,
        /// This is the `add-member` itself: it may open a stay above the end of the last one.
        entered: bool,
    },
    /// A channel is not in the conference any more: `del-member`, its hang-up, its park, two snapshots that lack it.
    Gone {
        /// Where the event stands.
        at: EventStamp,
        /// The session.
        session: SessionId,
        /// Why, when the member itself does not know better.
        reason: LeftReason,
    },
    /// The event says that a member is being moved to another room.
    Moving {
        /// The session.
        session: SessionId,
        /// It must have gone by then.
        deadline: Timestamp,
    },
    /// The floor changed hands.
    Floor {
        /// Where the event stands.
        at: EventStamp,
        /// Who has it now.
        holder: Option<SessionId>,
    },
    /// Its conference was locked or unlocked (`lock`, `unlock`), or a snapshot shows whether it is locked.
    Locked {
        /// Where the event stands.
        at: EventStamp,
        /// Locked now.
        locked: bool,
    },
    /// FreeSWITCH is another run than the one believed in, or lost for good: every stay elsewhere than in `core` is
    /// over.
    CoreChanged {
        /// The run that lives, if one does.
        core: Option<CoreId>,
    },
    /// Something about what plays.
    Play(PlayInput),
    /// Something about its recording.
    Record(RecordInput),
    /// Time has passed: whatever is due is done.
    Deadline,
}
