//! Transitions of a room's lock.

use crate::room::effect::{RoomCommand, RoomEvent};
use crate::room::lock::{LockChange, LockRequest, LockUpdate};
use crate::room::stamp::EventStamp;
use crate::room::state::RoomStatus;

use super::Transition;

impl Transition<'_> {
    pub(super) fn lock(&mut self, request: LockRequest) {
        if !self.room.is_open() {
            return;
        }
        if self.room.instances.is_empty() {
            let change = self.room.lock.set(request.lock, request.command_uid);
            return self.lock_changed(change, false);
        }
        let lock = request.lock;
        self.room.lock.requested = Some(request);
        self.room.changes.head = true;
        self.command(RoomCommand::SetLock { locked: lock });
    }

    pub(super) fn lock_reported(&mut self, at: EventStamp, locked: bool) {
        match self.room.lock.report(at, locked) {
            LockUpdate::Unchanged => {}
            LockUpdate::Internal => self.room.changes.head = true,
            LockUpdate::Changed(change) => self.lock_changed(Some(change), at.synthesized),
            LockUpdate::Repeat => self.lock_if_due(),
        }
    }

    /// Locks the conference of a locked room, unless members are still to return into it: the lock would refuse them.
    pub(super) fn lock_if_due(&mut self) {
        if self.room.lock.due() && !self.is_reconnecting() {
            self.command(RoomCommand::SetLock { locked: true });
        }
    }

    pub(super) fn lock_changed(&mut self, change: Option<LockChange>, synthesized: bool) {
        // There are no notifications about a room that is over, whatever happens to a conference of its name.
        if let Some((locked, command_uid)) = change
            && self.room.status != RoomStatus::Terminated
        {
            self.updated();
            self.notify(RoomEvent::Locked { locked }, command_uid, synthesized);
        }
    }
    pub(super) fn locked(&mut self, at: EventStamp, locked: bool) {
        if self.is_current(at) {
            self.lock_reported(at, locked);
        }
    }

    pub(super) fn lock_refused(&mut self, lock: bool) {
        if self.room.lock.refused(lock) {
            self.room.changes.head = true;
        }
    }
}
