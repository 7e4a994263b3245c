//! The lock of a room: FreeSWITCH's report of its conference, and the requested value while there is no conference.
//!
//! FreeSWITCH forgets a lock with its conference, the room does not. A new conference in a locked room is *due* to be
//! locked, and FreeSWITCH gets the command until it confirms the lock. Leaves out admission: the node state refuses
//! joins, and FreeSWITCH refuses everyone else.

use crate::ids::CommandUid;
use crate::time::Timestamp;

use super::stamp::{EventStamp, Sequence};

/// An unconfirmed request to set the lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockRequest {
    /// True to lock, false to unlock.
    pub lock: bool,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The time when the request expires.
    pub deadline: Timestamp,
}

/// The lock of a room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lock {
    pub(super) locked: bool,
    /// The sequence of the last report, in this conference instance. Not stored: a later owner ignores events that are
    /// older than its own first fence.
    pub(super) at: Sequence,
    /// True if the room was locked before its conference began and FreeSWITCH has not confirmed the lock of this
    /// conference.
    pub(super) due: bool,
    pub(super) requested: Option<LockRequest>,
}

/// The new value of the lock, and the caller's id of the command that changed it.
pub(super) type LockChange = (bool, Option<CommandUid>);

/// The result of a report of FreeSWITCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LockUpdate {
    /// Nothing changed.
    Unchanged,
    /// Something changed that callers do not see.
    Internal,
    /// The lock changed.
    Changed(LockChange),
    /// The lock is due and not set: FreeSWITCH gets the command again.
    Repeat,
}

impl Lock {
    /// Returns true if the room is locked.
    pub const fn locked(&self) -> bool {
        self.locked
    }

    /// Returns true if the conference is still to be locked.
    pub const fn due(&self) -> bool {
        self.due
    }

    /// Returns the unconfirmed request.
    pub const fn requested(&self) -> Option<&LockRequest> {
        self.requested.as_ref()
    }

    /// Returns true if the lock has this value and no request is about to change it.
    pub fn is_settled_at(&self, wanted: bool) -> bool {
        let is_unopposed = self
            .requested
            .as_ref()
            .is_none_or(|request| request.lock == wanted);
        self.locked == wanted && is_unopposed
    }

    /// Returns true if a request for this value is unconfirmed.
    pub fn is_requested(&self, wanted: bool) -> bool {
        self.requested
            .as_ref()
            .is_some_and(|request| request.lock == wanted)
    }

    /// Applies a report of this conference instance: `lock`, `unlock`, or a snapshot.
    pub(super) fn report(&mut self, at: EventStamp, locked: bool) -> LockUpdate {
        if at.sequence <= self.at {
            return LockUpdate::Unchanged;
        }
        self.at = at.sequence;
        if at.synthesized && self.due && !locked && !self.is_requested(false) {
            return LockUpdate::Repeat;
        }
        let was_due = std::mem::take(&mut self.due);
        let request = self.requested.take_if(|request| request.lock == locked);
        if self.locked != locked {
            self.locked = locked;
            return LockUpdate::Changed((locked, request.and_then(|request| request.command_uid)));
        }
        if was_due || request.is_some() {
            LockUpdate::Internal
        } else {
            LockUpdate::Unchanged
        }
    }

    /// Sets the lock while FreeSWITCH has no conference.
    pub(super) fn set(
        &mut self,
        lock: bool,
        command_uid: Option<CommandUid>,
    ) -> Option<LockChange> {
        let has_changed = self.locked != lock;
        self.locked = lock;
        has_changed.then_some((lock, command_uid))
    }

    /// Applies the beginning of a conference instance, whose lock is unknown.
    pub(super) fn conference_began(&mut self) {
        self.at = 0;
        self.due = self.locked;
    }

    /// Applies the end of the conference, with which FreeSWITCH forgets the lock. An unconfirmed request needs no
    /// confirmation any longer: it takes effect.
    pub(super) fn conference_over(&mut self) -> Option<LockChange> {
        self.at = 0;
        self.due = false;
        let request = self.requested.take()?;
        self.set(request.lock, request.command_uid)
    }

    /// Drops requests: the room ends.
    pub(super) fn room_over(&mut self) {
        self.due = false;
        self.requested = None;
    }

    /// Drops a request that FreeSWITCH refused. Returns true if there was one.
    pub(super) fn refused(&mut self, lock: bool) -> bool {
        self.requested
            .take_if(|request| request.lock == lock)
            .is_some()
    }

    /// Drops a request that was not confirmed in time. Returns true if there was one.
    pub(super) fn past_deadline(&mut self, now: Timestamp) -> bool {
        self.requested
            .take_if(|request| request.deadline <= now)
            .is_some()
    }

    /// Returns the next deadline.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.requested.as_ref().map(|request| request.deadline)
    }

    /// Checks the invariants of a lock, in a room with or without a conference.
    pub(super) fn check(&self, alive: bool) -> Result<(), String> {
        if self.due && !self.locked {
            return Err("its conference is due to be locked, and it is not locked".to_owned());
        }
        if !alive && (self.due || self.requested.is_some()) {
            return Err("it has no conference, and its lock is requested or due".to_owned());
        }
        Ok(())
    }
}
