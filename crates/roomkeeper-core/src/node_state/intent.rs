//! Applies intents to the node state: first a check that changes nothing, then the change.
//!
//! Owns the order of the checks and the dispatch of actions. Leaves out the rules themselves: each area has a file with
//! the checks and changes of its actions.

use crate::call::CallState;
use crate::entity::Target;
use crate::ids::{AppId, CallId, CommandUid, RoomId};
use crate::room::{Registration, RoomState};

use crate::intent::{Accepted, Action, Decision, Depth, Intent, Refusal, Requester};

use super::{Context, NodeState};

/// An intent without its action.
pub(super) struct Request {
    pub(super) target: Target,
    pub(super) requester: Requester,
    pub(super) command_uid: Option<CommandUid>,
}

impl Request {
    pub(super) fn room(&self) -> Result<RoomId, Refusal> {
        room(self.target)
    }

    pub(super) fn call(&self) -> Result<CallId, Refusal> {
        call(self.target)
    }

    /// Returns the call of a target that names a room and one of its members.
    pub(super) const fn member(&self) -> Option<CallId> {
        self.target.call()
    }
}

pub(super) fn room(target: Target) -> Result<RoomId, Refusal> {
    target.room().ok_or(Refusal::RoomNotFound)
}

pub(super) fn call(target: Target) -> Result<CallId, Refusal> {
    target.call().ok_or(Refusal::CallNotFound)
}

impl NodeState {
    /// Checks an intent and carries it out if nothing refuses it.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn intent(&mut self, intent: Intent, cx: &mut Context<'_>) -> Result<Accepted, Refusal> {
        match self.check(&intent, Depth::State)? {
            Decision::NoChange(accepted) => Ok(accepted),
            Decision::Act => self.apply(intent, cx),
        }
    }

    /// Checks an intent: existence, ownership, then the rules about the state.
    ///
    /// # Errors
    /// The first [`Refusal`] in that order.
    pub fn check(&self, intent: &Intent, depth: Depth) -> Result<Decision, Refusal> {
        self.check_ownership(intent)?;
        match depth {
            Depth::Ownership => Ok(Decision::Act),
            Depth::State => self.check_state(intent),
        }
    }

    fn check_ownership(&self, intent: &Intent) -> Result<(), Refusal> {
        let by = &intent.requester;
        match (&intent.action, intent.target) {
            // Its name is reserved, and its id is new.
            (Action::CreateRoom(_), _) => by.app().map(drop).ok_or(Refusal::NoOwner),
            (Action::Kick(kick), target) => self.own_kicked(room(target)?, kick, by).map(drop),
            (_, Target::Room(room)) => self.own_room(room, by).map(drop),
            (_, Target::Call(call)) => self.own_call(call, by).map(drop),
            (_, Target::Member { room, call }) => {
                let call = self.live_call(call)?;
                let owner = self.owner(room)?;
                if !by.may_change(call.app()) {
                    return Err(Refusal::ForeignCall);
                }
                // Not even the operator brings the call of one app into the room of another.
                if !by.may_change(owner) || owner != call.app() {
                    return Err(Refusal::ForeignRoom);
                }
                // Nor does anybody move it into another app's room.
                if let Action::Move(moved) = &intent.action
                    && self.owner(moved.to)? != call.app()
                {
                    return Err(Refusal::ForeignRoom);
                }
                Ok(())
            }
        }
    }

    fn check_state(&self, intent: &Intent) -> Result<Decision, Refusal> {
        let target = intent.target;
        match &intent.action {
            Action::CreateRoom(_)
            | Action::DeleteRoom(_)
            | Action::SetVolume(_)
            | Action::Hangup(_) => Ok(Decision::Act),
            Action::UpdateRoom(update) => self.check_update(room(target)?, update),
            Action::UpdateMember(update) => self.check_update_member(target, update),
            Action::Join(_) => self.check_join(room(target)?, call(target)?),
            Action::Leave(_) => self.joined(call(target)?).map(|_| Decision::Act),
            Action::Kick(kick) => self.check_kick(room(target)?, call(target)?, kick),
            Action::Move(moved) => self.check_move(room(target)?, call(target)?, moved.to),
            Action::SetLock(set) => self.check_lock(room(target)?, *set),
            Action::SetFlag(set) => self.check_flag(target, *set),
            Action::SetHold(set) => self.check_hold(target, set),
            Action::StartRecording(start) => self.check_start_recording(target, start),
            Action::StopRecording(_) => self.check_stop_recording(target),
            Action::PauseRecording(pause) => self.check_pause_recording(target, *pause),
            Action::Coach(coach) => {
                self.check_coach(room(target)?, call(target)?, coach.coach, &intent.requester)
            }
            Action::Uncoach(_) => self.check_uncoach(room(target)?, call(target)?),
            Action::Play(play) => self.check_play(target, play),
            Action::Stop(_) => self.check_stop(target),
            Action::Pause(_) => self.check_pause(room(target)?),
            Action::Dial(dial) => self.check_dial(room(target)?, dial),
            Action::CancelDial(cancel) => self.check_cancel_dial(room(target)?, *cancel),
            Action::Gather(_) => self.check_gather(target),
            Action::StopGather(_) => self.check_stop_gather(target),
            Action::SendDigits(_) => self.check_send_digits(target),
            Action::Transfer(transfer) => self.check_transfer(call(target)?, transfer),
            Action::CancelTransfer(_) => self.check_cancel_transfer(call(target)?),
            Action::Answer(_) => self.check_answer(call(target)?),
        }
    }

    /// Carries out an intent that [`Self::check`] passed with [`Decision::Act`].
    ///
    /// # Errors
    /// [`Refusal`] only if it was not checked.
    pub fn apply(&mut self, intent: Intent, cx: &mut Context<'_>) -> Result<Accepted, Refusal> {
        let Intent {
            target,
            requester,
            command_uid,
            action,
        } = intent;
        let by = Request {
            target,
            requester,
            command_uid,
        };
        Ok(match action {
            Action::CreateRoom(create) => Accepted::CreateRoom(self.create_room(by, create, cx)?),
            Action::UpdateRoom(update) => Accepted::UpdateRoom(self.update_room(by, update, cx)?),
            Action::UpdateMember(update) => {
                Accepted::UpdateMember(self.update_member(by, update, cx)?)
            }
            Action::DeleteRoom(_) => Accepted::DeleteRoom(self.delete_room(&by, cx)?),
            Action::Join(join) => Accepted::Join(self.join(by, join, cx)?),
            Action::Leave(_) => Accepted::Leave(self.leave(by, cx)?),
            Action::Kick(_) => Accepted::Kick(self.kick(by, cx)?),
            Action::Move(moved) => Accepted::Move(self.move_member(by, moved, cx)?),
            Action::SetLock(set) => Accepted::SetLock(self.set_lock(by, set, cx)?),
            Action::SetFlag(set) => Accepted::SetFlag(self.set_flag(by, set, cx)?),
            Action::SetHold(set) => Accepted::SetHold(self.set_hold(by, set, cx)?),
            Action::StartRecording(start) => {
                Accepted::StartRecording(self.start_recording(by, start, cx)?)
            }
            Action::StopRecording(_) => Accepted::StopRecording(self.stop_recording(by, cx)?),
            Action::PauseRecording(pause) => {
                Accepted::PauseRecording(self.pause_recording(by, pause, cx)?)
            }
            Action::Coach(coach) => Accepted::Coach(self.coach(by, coach, cx)?),
            Action::Uncoach(_) => Accepted::Uncoach(self.uncoach(by, cx)?),
            Action::Play(play) => Accepted::Play(self.play(by, play, cx)?),
            Action::Pause(_) => Accepted::Pause(self.pause(by, cx)?),
            Action::Stop(_) => Accepted::Stop(self.stop(by, cx)?),
            Action::SetVolume(set) => Accepted::SetVolume(self.set_volume(by, set, cx)?),
            Action::Dial(dial) => Accepted::Dial(self.start_dial(by, dial, cx)?),
            Action::CancelDial(cancel) => Accepted::CancelDial(self.cancel_dial(by, cancel, cx)?),
            Action::Gather(gather) => Accepted::Gather(self.gather(by, gather, cx)?),
            Action::StopGather(_) => Accepted::StopGather(self.stop_gather(&by, cx)?),
            Action::SendDigits(send) => Accepted::SendDigits(self.send_digits(&by, send, cx)?),
            Action::Transfer(transfer) => Accepted::Transfer(self.transfer(by, transfer, cx)?),
            Action::CancelTransfer(cancel) => {
                Accepted::CancelTransfer(self.cancel_transfer(by, cancel, cx)?)
            }
            Action::Answer(_) => Accepted::Answer(self.answer(&by, cx)?),
            Action::Hangup(hangup) => Accepted::Hangup(self.hang_up(&by, hangup, cx)?),
        })
    }

    /// Sets the owner of an open room of another node, for the check of a join; `None` if there is no such room.
    pub fn set_foreign_room(&mut self, room: RoomId, owner: Option<AppId>) {
        match owner {
            Some(owner) => self.foreign_rooms.insert(room, owner),
            None => self.foreign_rooms.remove(&room),
        };
    }

    /// Forgets the rooms of other nodes.
    pub fn forget_foreign_rooms(&mut self) {
        self.foreign_rooms.clear();
    }

    fn live_call(&self, call: CallId) -> Result<&CallState, Refusal> {
        let call = self.call(call).filter(|call| !call.is_over());
        call.ok_or(Refusal::CallNotFound)
    }

    fn open_room(&self, room: RoomId) -> Result<&Registration, Refusal> {
        let room = self.room(room).filter(|room| room.is_open());
        let registration = room.and_then(RoomState::registration);
        registration.ok_or(Refusal::RoomNotFound)
    }

    fn owner(&self, room: RoomId) -> Result<&AppId, Refusal> {
        if room.node() == self.node {
            return self.open_room(room).map(|registration| &registration.app);
        }
        self.foreign_rooms.get(&room).ok_or(Refusal::RoomNotFound)
    }

    pub(super) fn own_call(&self, call: CallId, by: &Requester) -> Result<&CallState, Refusal> {
        let call = self.live_call(call)?;
        if by.may_change(call.app()) {
            Ok(call)
        } else {
            Err(Refusal::ForeignCall)
        }
    }

    fn own_room(&self, room: RoomId, by: &Requester) -> Result<&Registration, Refusal> {
        let registration = self.open_room(room)?;
        if by.may_change(&registration.app) {
            Ok(registration)
        } else {
            Err(Refusal::ForeignRoom)
        }
    }
}
