//! `apply`: the transitions of a room.
//!
//! A few rules keep it correct under loss, duplication and reordering: a conference instance that ended never returns;
//! a membership opens only above the end of the last one; flags of a higher sequence win, whenever they arrive;
//! everything else is idempotent.

mod coaching;
mod conference;
mod dial;
mod ending;
mod hold;
mod levels;
mod lock;
mod membership;
mod moving;
mod playback;
mod presence;
mod reconnection;
mod recording;
mod settings;
mod speech;
mod waiting;

use crate::ids::CommandUid;
use crate::room::details::Update;
use crate::room::effect::{
    JoinFailure, LeftReason, RoomCommand, RoomEffect, RoomEvent, RoomNotification,
};
use crate::room::input::RoomInput;
use crate::room::lock::LockRequest;
use crate::room::member::{JoinAttempt, MemberStatus};
use crate::room::state::{Registration, RoomState, RoomStatus};
use crate::time::Timestamp;

/// Applies an input and returns the effects. The changes stay in the state ([`RoomState::take_changes`]).
pub fn apply(state: &mut RoomState, input: RoomInput, now: Timestamp) -> Vec<RoomEffect> {
    let mut transition = Transition {
        room: state,
        now,
        effects: Vec::new(),
    };
    transition.apply(input);
    transition.watch_silence();
    let effects = transition.effects;
    if !state.changes.calls.is_empty() || !state.changes.recordings.is_empty() {
        state.updated_at = state.updated_at.max(now);
        state.changes.head = true;
    }
    if cfg!(debug_assertions) {
        state.check_invariants();
    }
    effects
}

struct Transition<'a> {
    room: &'a mut RoomState,
    now: Timestamp,
    effects: Vec<RoomEffect>,
}

impl Transition<'_> {
    fn apply(&mut self, input: RoomInput) {
        match input {
            RoomInput::Created(registration) => self.created(registration),
            RoomInput::Unplaced => self.unplaced(),
            RoomInput::Placed => self.placed(),
            RoomInput::Update {
                update,
                command_uid,
            } => self.update(*update, command_uid),
            RoomInput::Adopted {
                registration,
                is_heard,
            } => self.adopted(*registration, is_heard),
            RoomInput::Delete { deadline } => self.end(deadline, LeftReason::RoomDestroyed),
            RoomInput::Join {
                call,
                member,
                caller_id,
                did,
                muted,
                settings,
                has_pre_actions,
                command_uid,
                deadline,
            } => {
                let status = MemberStatus::Joining {
                    deadline,
                    command_uid,
                    attempt: JoinAttempt::First,
                };
                let numbers = (caller_id.into(), did.into());
                let mut member = self.new_member(member, status, numbers, muted);
                member.settings = settings;
                self.join(call, member, has_pre_actions);
            }
            RoomInput::Enter { call, deadline } => self.enter(call, deadline),
            RoomInput::Cancel { call } => self.cancel(call),
            RoomInput::NotEntered {
                call,
                reason: JoinFailure::Refused,
            } => self.join_refused(call),
            RoomInput::NotEntered { call, reason } => self.not_entered(call, reason, false),
            RoomInput::Leave {
                call,
                reason,
                command_uid,
                deadline,
            } => self.leave_on_request(call, reason, command_uid, deadline),
            RoomInput::MoveOut {
                call,
                to,
                command_uid,
                deadline,
            } => self.move_out(call, to, command_uid, deadline),
            RoomInput::MoveIn(arrival) => self.move_in(*arrival),
            RoomInput::MoveFailed(failed) => self.move_failed(*failed),
            RoomInput::UpdateMember {
                call,
                update,
                command_uid,
            } => self.update_member(call, *update, command_uid),
            RoomInput::SetFlag { call, request } => self.request_flag(call, request),
            RoomInput::Hold {
                call,
                on,
                music,
                request,
            } => self.request_hold(call, music, on, request),
            RoomInput::HoldRefused { call, on } => self.hold_refused(call, on),
            RoomInput::HearingRefused { call } => self.hearing_refused(call),
            RoomInput::Lock {
                lock,
                command_uid,
                deadline,
            } => self.lock(LockRequest {
                lock,
                command_uid,
                deadline,
            }),
            RoomInput::LockRefused { lock } => self.lock_refused(lock),
            RoomInput::ControlFailed => self.control_failed(),
            RoomInput::Talked { ago } => self.talked(ago),
            RoomInput::LeaveRefused { call } => self.revert_leave(call),
            RoomInput::FlagRefused { call, flag, on } => self.flag_refused(call, flag, on),
            RoomInput::Digit { call, pressed } => {
                self.notify(RoomEvent::Digit { call, pressed }, None, false);
            }
            RoomInput::Talk { call, talking } => self.talk(call, talking),
            RoomInput::MutedTalk { call } => self.muted_talk(call),
            RoomInput::Gathered { call, result } => {
                let (uid, synthesized) = (result.command_uid.clone(), result.synthesized);
                self.notify(RoomEvent::Gathered { call, result }, uid, synthesized);
            }
            RoomInput::Play(input) => self.apply_playback(input),
            RoomInput::PlayTo { call, input } => self.apply_member_playback(call, input),
            RoomInput::Record(input) => self.record(input),
            RoomInput::Coach { member, coach } => self.coach(member, coach),
            RoomInput::CoachChanged {
                member,
                coach,
                change,
                command_uid,
                synthesized,
            } => self.coach_changed((member, coach), change, command_uid, synthesized),
            RoomInput::Dial(input) => self.apply_dial(input),
            RoomInput::Deadline => self.deadline(),
            RoomInput::ConferenceStarted(at) => self.conference_started(at),
            RoomInput::ConferenceEnded(at) => self.conference_ended(at),
            RoomInput::ConferenceEmptied(at) => self.conference_emptied(at),
            RoomInput::MemberReported {
                at,
                member,
                entered,
            } => self.member_reported(at, member, entered),
            RoomInput::MemberGone { at, call, reason } => self.member_gone(at, call, reason),
            RoomInput::Moving { call, deadline } => self.move_away(call, deadline),
            RoomInput::Floor { at, holder } => self.floor(at, holder),
            RoomInput::Locked { at, locked } => self.locked(at, locked),
            RoomInput::CoreChanged { core } => self.core_changed(core),
            RoomInput::CoreRestarted { core } => self.core_restarted(core),
        }
    }

    fn unplaced(&mut self) {
        if self.room.status == RoomStatus::Progressing && self.room.instances.is_empty() {
            self.room.status = RoomStatus::Starting;
            self.updated();
        }
    }

    fn placed(&mut self) {
        if self.room.status == RoomStatus::Starting {
            self.room.status = RoomStatus::Progressing;
            self.updated();
        }
    }

    fn created(&mut self, registration: Registration) {
        let name = registration.name.clone();
        self.room.registration = Some(registration);
        self.room.changes.registration = true;
        self.updated();
        self.notify(RoomEvent::Created { name }, None, false);
    }

    fn update(&mut self, update: Update, command_uid: Option<CommandUid>) {
        let Some(registration) = &mut self.room.registration else {
            return;
        };
        let update = update.against(&registration.name, &registration.details);
        if update.is_empty() {
            return;
        }
        let removes = update
            .settings
            .removes_control(&registration.details.settings);
        update
            .clone()
            .make(&mut registration.name, &mut registration.details);
        self.room.changes.registration = true;
        self.updated();
        let controls = update.settings.controls();
        if update.settings.end_when_silent_for.is_some() {
            self.room.silent_at = None;
        }
        let waits = update.settings.wait_for_moderator;
        let has_new_music = update.settings.wait_url.is_some();
        self.notify(
            RoomEvent::Updated(Box::new(update)),
            command_uid.clone(),
            false,
        );
        self.change_wait(waits, has_new_music, command_uid);
        if removes {
            self.room.removed_in = self.room.conference().map(|latest| latest.id);
        }
        // The conference carries a copy of the registration.
        if !self.room.instances.is_empty() {
            self.command(RoomCommand::Describe);
            for control in controls {
                self.command(RoomCommand::Control(control));
            }
        }
    }

    fn adopted(&mut self, registration: Registration, is_heard: bool) {
        if self.room.registration.is_none() {
            self.room.registration = Some(registration);
            self.room.changes.registration = true;
            self.room.adopted_at = Some(self.now);
            self.updated();
            self.adopt_wait(is_heard);
            self.report_members();
        }
    }

    /// Records a change that its owner can see.
    pub(super) fn updated(&mut self) {
        self.room.updated_at = self.now;
        self.room.changes.head = true;
    }

    pub(super) fn command(&mut self, command: RoomCommand) {
        self.effects.push(RoomEffect::Command(command));
    }

    pub(super) fn notify(
        &mut self,
        event: RoomEvent,
        command_uid: Option<CommandUid>,
        synthesized: bool,
    ) {
        if self.room.registration.is_none() {
            return;
        }
        self.room.sequence += 1;
        self.room.changes.head = true;
        self.effects.push(RoomEffect::Notify(RoomNotification {
            sequence: self.room.sequence,
            event,
            command_uid,
            synthesized,
        }));
    }
}
