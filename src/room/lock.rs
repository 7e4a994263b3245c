//! Whether a room is locked: what FreeSWITCH says of its conference, and what was asked for while it has none.
//!
//! FreeSWITCH forgets a lock with its conference, the room does not: a conference that comes to be in a locked room is
//! *due* to be locked, and is told so until FreeSWITCH says that it is. Leaves out who may come in: joins are refused by
//! the belief, everyone else by FreeSWITCH.

use crate::ids::CommandUid;
use crate::time::Timestamp;

use super::input::EventStamp;
use super::state::Sequence;

/// What is asked of the lock and not yet confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockAsked {
    /// Locked, or unlocked.
    pub lock: bool,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// Forgotten then.
    pub deadline: Timestamp,
}

/// The lock of a room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lock {
    pub(crate) locked: bool,
    /// The sequence that it is of, in this life of the conference. Not stored: a later owner hears nothing that is older
    /// than its own first fence.
    pub(crate) at: Sequence,
    /// It was locked before its conference came to be, and FreeSWITCH has not said of this one that it is.
    pub(crate) due: bool,
    pub(crate) asked: Option<LockAsked>,
}

/// A lock that is another than before, and the caller's id of the command that made it so.
pub(super) type Turned = (bool, Option<CommandUid>);

/// What comes of what FreeSWITCH tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// Nothing.
    Nothing,
    /// Something is noted that nobody is told of.
    Noted,
    /// It is another than before.
    Turned(Turned),
    /// It is due, and not done: FreeSWITCH is to be told once more.
    Again,
}

impl Lock {
    /// Nobody else comes in.
    pub const fn locked(&self) -> bool {
        self.locked
    }

    /// Its conference is still to be locked.
    pub const fn due(&self) -> bool {
        self.due
    }

    /// What is asked of it.
    pub const fn asked(&self) -> Option<&LockAsked> {
        self.asked.as_ref()
    }

    /// Whether it is as wanted, and stays so as far as is known.
    pub fn stays(&self, wanted: bool) -> bool {
        let asked = self.asked.as_ref().is_none_or(|asked| asked.lock == wanted);
        self.locked == wanted && asked
    }

    /// Whether that is under way already.
    pub fn is_asked(&self, wanted: bool) -> bool {
        self.asked
            .as_ref()
            .is_some_and(|asked| asked.lock == wanted)
    }

    /// `lock`, `unlock`, or a snapshot of this life of the conference.
    pub(super) fn told(&mut self, at: EventStamp, locked: bool) -> Told {
        if at.sequence <= self.at {
            return Told::Nothing;
        }
        self.at = at.sequence;
        if at.synthesized && self.due && !locked && !self.is_asked(false) {
            return Told::Again;
        }
        let was_due = std::mem::take(&mut self.due);
        let asked = self.asked.take_if(|asked| asked.lock == locked);
        if self.locked != locked {
            self.locked = locked;
            return Told::Turned((locked, asked.and_then(|asked| asked.command_uid)));
        }
        if was_due || asked.is_some() {
            Told::Noted
        } else {
            Told::Nothing
        }
    }

    /// Sets it where FreeSWITCH has no conference to be told of it.
    pub(super) fn set(&mut self, lock: bool, command_uid: Option<CommandUid>) -> Option<Turned> {
        let turned = self.locked != lock;
        self.locked = lock;
        turned.then_some((lock, command_uid))
    }

    /// There is a new life of the conference, and nothing is known of it.
    pub(super) fn conference_began(&mut self) {
        self.at = 0;
        self.due = self.locked;
    }

    /// The conference is over, and FreeSWITCH has forgotten its lock. What was asked for and not confirmed is not asked of
    /// anyone any more: it holds.
    pub(super) fn conference_over(&mut self) -> Option<Turned> {
        self.at = 0;
        self.due = false;
        let asked = self.asked.take()?;
        self.set(asked.lock, asked.command_uid)
    }

    /// The room ends: nothing more is wanted of it.
    pub(super) fn room_over(&mut self) {
        self.due = false;
        self.asked = None;
    }

    /// FreeSWITCH has refused this. Says whether it was asked for.
    pub(super) fn refused(&mut self, lock: bool) -> bool {
        self.asked.take_if(|asked| asked.lock == lock).is_some()
    }

    /// Forgets what was not confirmed in time. Says whether there was such a thing.
    pub(super) fn past_deadline(&mut self, now: Timestamp) -> bool {
        self.asked.take_if(|asked| asked.deadline <= now).is_some()
    }

    /// When it next wants to be looked at.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.asked.as_ref().map(|asked| asked.deadline)
    }

    /// What must hold of it, in a room that has a conference or has none.
    pub(super) fn soundness(&self, alive: bool) -> Result<(), String> {
        if self.due && !self.locked {
            return Err("its conference is to be locked, and it is not".to_owned());
        }
        if !alive && (self.due || self.asked.is_some()) {
            return Err("it has no conference, and something is asked of its lock".to_owned());
        }
        Ok(())
    }
}
