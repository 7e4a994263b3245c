//! What callers want locked, and unlocked.

use crate::ids::{AppId, CommandUid, RoomId};
use crate::node::CommandError;
use crate::room::{RoomInput, RoomState};

use crate::reconciler::intent::{Accepted, Refusal};

use super::{Belief, Cx};

impl Belief {
    pub(super) fn lock(
        &mut self,
        room: RoomId,
        app: &AppId,
        lock: bool,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        self.own_room(room, app)?;
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        if state.lock().is_asked(lock) {
            return Ok(Accepted::Locking);
        }
        if state.lock().stays(lock) {
            return Ok(Accepted::Locked { locked: lock });
        }
        // Nobody is in it: there is no conference that could be told, and nobody else who could say that it is done.
        let alone = state.conference().is_none();
        let input = RoomInput::Lock {
            lock,
            command_uid,
            deadline: cx.now + self.rules.patience.lock,
        };
        self.room_input(room, input, cx);
        Ok(if alone {
            Accepted::Locked { locked: lock }
        } else {
            Accepted::Locking
        })
    }

    /// Whether a room lets nobody in.
    pub(super) fn is_locked(&self, room: RoomId) -> bool {
        let room: Option<&RoomState> = self.room(room);
        room.is_some_and(|room| room.lock().locked())
    }

    pub(super) fn lock_refused(
        &mut self,
        room: RoomId,
        lock: bool,
        error: &CommandError,
        cx: &mut Cx<'_>,
    ) {
        // The conference has ended, and its end is yet to be heard of: then what was asked for holds without it.
        if *error != CommandError::NoSuchChannel {
            self.room_input(room, RoomInput::LockRefused { lock }, cx);
        }
    }
}
