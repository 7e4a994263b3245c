//! Locks, kicks, the flags and settings of members, and their holds.

use crate::command_error::CommandError;
use crate::entity::Target;
use crate::ids::{CallId, OperationId, RoomId};
use crate::room::{FlagRequest, Hold, HoldRequest, Member, MemberStatus, RoomInput, RoomState};

use crate::intent::{
    Accepted, Decision, FlagAccepted, HoldAccepted, Kick, LeaveAccepted, LockAccepted, Refusal,
    Requester, SetFlag, SetHold, SetLock, UpdateAccepted, UpdateMember,
};

use super::intent::{Request, call};
use super::rooms::updated_labels;
use super::{Context, NodeState};

impl NodeState {
    // ---- locks ----------------------------------------------------------------------------------------------------

    pub(super) fn check_lock(&self, room: RoomId, set: SetLock) -> Result<Decision, Refusal> {
        let lock = self.room(room).ok_or(Refusal::RoomNotFound)?.lock();
        let SetLock { locked } = set;
        let accepted = if lock.is_requested(locked) {
            LockAccepted::InProgress
        } else if lock.is_settled_at(locked) {
            LockAccepted::Locked { locked }
        } else {
            return Ok(Decision::Act);
        };
        Ok(Decision::NoChange(Accepted::SetLock(accepted)))
    }

    pub(super) fn set_lock(
        &mut self,
        by: Request,
        set: SetLock,
        cx: &mut Context<'_>,
    ) -> Result<LockAccepted, Refusal> {
        let room = by.room()?;
        let SetLock { locked } = set;
        // Without a conference, FreeSWITCH has nothing to lock and cannot confirm it.
        let is_empty = self
            .room(room)
            .is_some_and(|room| room.conference().is_none());
        let input = RoomInput::Lock {
            lock: locked,
            command_uid: by.command_uid,
            deadline: cx.now + self.rules.timeouts.lock,
        };
        self.room_input(room, input, cx);
        Ok(if is_empty {
            LockAccepted::Locked { locked }
        } else {
            LockAccepted::InProgress
        })
    }

    pub(super) fn is_locked(&self, room: RoomId) -> bool {
        let room: Option<&RoomState> = self.room(room);
        room.is_some_and(|room| room.lock().locked())
    }

    /// Reverts a lock that FreeSWITCH refused. If its conference has just ended, the request holds without it.
    pub(super) fn lock_refused(
        &mut self,
        room: RoomId,
        lock: bool,
        error: &CommandError,
        cx: &mut Context<'_>,
    ) {
        if *error != CommandError::NoSuchChannel {
            self.room_input(room, RoomInput::LockRefused { lock }, cx);
        }
    }

    // ---- kicks ----------------------------------------------------------------------------------------------------

    /// Checks the owner of a kick. A kick names a room, and may name one membership in it: then the room may be ending.
    pub(super) fn own_kicked(
        &self,
        room: RoomId,
        kick: &Kick,
        by: &Requester,
    ) -> Result<&RoomState, Refusal> {
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        let registration = state.registration().ok_or(Refusal::RoomNotFound)?;
        if kick.member.is_none() && !state.is_open() {
            return Err(Refusal::RoomNotFound);
        }
        if by.may_change(&registration.app) {
            Ok(state)
        } else {
            Err(Refusal::ForeignRoom)
        }
    }

    pub(super) fn check_kick(
        &self,
        room: RoomId,
        call: CallId,
        kick: &Kick,
    ) -> Result<Decision, Refusal> {
        let is_target = |member: &&Member| kick.member.is_none_or(|id| member.id == id);
        let member = self.room(room).and_then(|room| room.members().get(&call));
        let member = member.filter(is_target).ok_or(Refusal::NotInRoom)?;
        Ok(match member.status {
            MemberStatus::Joining { .. } | MemberStatus::Joined => Decision::Act,
            MemberStatus::Leaving { .. } => {
                Decision::NoChange(Accepted::Kick(LeaveAccepted { room }))
            }
        })
    }

    pub(super) fn kick(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<LeaveAccepted, Refusal> {
        let (room, call) = (by.room()?, by.call()?);
        let member = self.room(room).and_then(|room| room.members().get(&call));
        match member.map(|member| &member.status) {
            Some(MemberStatus::Joining { .. }) => {
                self.room_input(room, RoomInput::Cancel { call }, cx);
            }
            Some(MemberStatus::Joined) => self.take_out(call, room, by.command_uid, cx),
            Some(MemberStatus::Leaving { .. }) => {}
            None => return Err(Refusal::NotInRoom),
        }
        Ok(LeaveAccepted { room })
    }

    // ---- flags ----------------------------------------------------------------------------------------------------

    /// Returns the member that a target means. A target that names a room means a member of that room.
    pub(super) fn joined_member(&self, target: Target) -> Result<&Member, Refusal> {
        let call = call(target)?;
        let room = self.joined(call)?;
        if target.room().is_some_and(|meant| meant != room) {
            return Err(Refusal::NotInRoom);
        }
        let member = self.room(room).and_then(|room| room.members().get(&call));
        member.ok_or(Refusal::NotInRoom)
    }

    /// Checks a flag change.
    pub(super) fn check_flag(&self, target: Target, set: SetFlag) -> Result<Decision, Refusal> {
        let SetFlag { flag, on } = set;
        let member = self.joined_member(target)?;
        // A request for the other value, sent and not yet confirmed, is about to change the flag.
        let is_changing = member.requests.get(flag).is_some_and(|r| r.on != on);
        if flag.is_on(member.flags) == on && !is_changing {
            return Err(Refusal::FlagAlreadySet { flag, on });
        }
        Ok(Decision::Act)
    }

    pub(super) fn set_flag(
        &mut self,
        by: Request,
        set: SetFlag,
        cx: &mut Context<'_>,
    ) -> Result<FlagAccepted, Refusal> {
        let SetFlag { flag, on } = set;
        let call = by.call()?;
        let room = self.joined(call)?;
        let request = FlagRequest {
            flag,
            on,
            command_uid: by.command_uid,
            deadline: cx.now + self.rules.timeouts.mute,
        };
        self.room_input(room, RoomInput::SetFlag { call, request }, cx);
        Ok(FlagAccepted { room, flag, on })
    }

    // ---- hold -----------------------------------------------------------------------------------------------------

    pub(super) fn check_hold(&self, target: Target, set: &SetHold) -> Result<Decision, Refusal> {
        let member = self.joined_member(target)?;
        // A request for the opposite, sent and not yet confirmed, is about to change it.
        let is_changing = |hold: &Hold| hold.request.is_some() && hold.wanted != set.on;
        if member.flags.hold == set.on && !member.hold().is_some_and(is_changing) {
            return Err(Refusal::HoldAlreadySet { on: set.on });
        }
        Ok(Decision::Act)
    }

    pub(super) fn set_hold(
        &mut self,
        by: Request,
        set: SetHold,
        cx: &mut Context<'_>,
    ) -> Result<HoldAccepted, Refusal> {
        let SetHold { on, music } = set;
        let call = by.call()?;
        let room = self.joined(call)?;
        let input = RoomInput::Hold {
            call,
            on,
            music: music.map(|url| (OperationId::new(cx.ids.next_uuid()), url)),
            request: HoldRequest {
                command_uid: by.command_uid,
                deadline: cx.now + self.rules.timeouts.mute,
            },
        };
        self.room_input(room, input, cx);
        Ok(HoldAccepted { room, on })
    }

    // ---- settings -------------------------------------------------------------------------------------------------

    /// Checks a change of a member's settings.
    pub(super) fn check_update_member(
        &self,
        target: Target,
        update: &UpdateMember,
    ) -> Result<Decision, Refusal> {
        let member = self.joined_member(target)?;
        updated_labels(&member.settings.labels, &update.labels)?;
        Ok(Decision::Act)
    }

    pub(super) fn update_member(
        &mut self,
        by: Request,
        update: UpdateMember,
        cx: &mut Context<'_>,
    ) -> Result<UpdateAccepted, Refusal> {
        let (room, call) = (by.room()?, by.call()?);
        let UpdateMember { mut update, labels } = update;
        let settings = |state: &Self| {
            let member = state.room(room)?.members().get(&call)?;
            Some(member.settings.clone())
        };
        let before = settings(self).ok_or(Refusal::NotInRoom)?;
        update.labels = updated_labels(&before.labels, &labels)?;
        let input = RoomInput::UpdateMember {
            call,
            update,
            command_uid: by.command_uid,
        };
        self.room_input(room, input, cx);
        Ok(match settings(self) {
            Some(now) if now != before => UpdateAccepted::Updated,
            Some(_) | None => UpdateAccepted::Unchanged,
        })
    }
}
