//! Transitions of a room's dial-outs.

use crate::ids::{CallId, MemberId};
use crate::room::audio::{Hold, MemberAudio};
use crate::room::dial::{
    CANCEL_PAUSE, CANCELLED_CAUSE, DialChange, DialEvent, DialInput, DialOut, DialOutcome,
    DialPhase, HANGUP_DELAY, MAX_QUEUE_TIME, OVERDUE, UNKNOWN_CAUSE, may_succeed_later,
};
use crate::room::effect::{RoomCommand, RoomEffect, RoomEvent};
use crate::room::member::{JoinAttempt, MemberStatus};
use crate::time::Timestamp;

use super::Transition;

impl Transition<'_> {
    pub(super) fn apply_dial(&mut self, input: DialInput) {
        match input {
            DialInput::Start(dial) => self.start_dial(*dial),
            DialInput::Cancel { id, command_uid } => {
                if let Some(dial) = self.room.dial_mut(id) {
                    dial.command_uid = command_uid.or(dial.command_uid.take());
                    self.cancel_dial(id);
                }
            }
            DialInput::Retry { id, session } => self.retry_dial(id, session),
            DialInput::Ringing { session } => self.dial_rings(session),
            DialInput::Answered {
                session,
                member,
                deadline,
                elsewhere,
                synthesized,
            } => {
                if elsewhere {
                    return self.dial_answered_elsewhere(session, synthesized);
                }
                self.dial_answered(session, member, deadline, synthesized);
            }
            DialInput::HungUp {
                session,
                cause,
                sip_status,
            } => self.dial_over(session, &cause, sip_status, false),
            DialInput::Refused { session, cause } => {
                let now = self.now;
                if let Some(dial) = self.room.attempt_mut(session) {
                    dial.refused.get_or_insert(cause);
                    dial.deadline = dial.deadline.min(now + HANGUP_DELAY);
                }
            }
            DialInput::NotFound { session } => self.dial_not_found(session),
        }
    }

    fn start_dial(&mut self, mut dial: DialOut) {
        if !self.room.is_open() || self.room.dial(dial.id).is_some() {
            return;
        }
        dial.deaf = self.room.makes_wait(&dial.request.member);
        let command = RoomCommand::Dial {
            call: dial.session,
            request: dial.request.clone(),
        };
        self.room.put_dial(dial);
        self.command(command);
    }

    fn retry_dial(&mut self, id: CallId, session: CallId) {
        let (now, is_open) = (self.now, self.room.is_open());
        let Some(dial) = self.room.dial_mut(id) else {
            return;
        };
        if dial.phase != DialPhase::Waiting || dial.deadline > now || !is_open {
            return;
        }
        dial.begin(session, now);
        let request = dial.request.clone();
        let deaf = self.room.makes_wait(&request.member);
        if let Some(dial) = self.room.dial_mut(id) {
            dial.deaf = deaf;
        }
        self.command(RoomCommand::Dial {
            call: session,
            request,
        });
    }

    fn dial_rings(&mut self, session: CallId) {
        let Some(dial) = self.room.attempt_mut(session) else {
            return;
        };
        if dial.phase != DialPhase::Ringing {
            dial.phase = DialPhase::Ringing;
            let dial = dial.clone();
            self.report_dial(&dial, DialChange::Ringing, false);
        }
    }

    /// Cancels a dial-out. Its end is reported when FreeSWITCH confirms it; between two attempts there is nothing to
    /// confirm.
    pub(super) fn cancel_dial(&mut self, id: CallId) {
        let now = self.now;
        let Some(dial) = self.room.dial_mut(id) else {
            return;
        };
        if !dial.is_in_flight() {
            let session = dial.session;
            dial.cancelled_at = Some(now);
            return self.end_dial(session, CANCELLED_CAUSE, None, false);
        }
        if dial.cancelled_at.is_some() {
            return;
        }
        dial.cancelled_at = Some(now);
        dial.deadline = dial.deadline.min(now + CANCEL_PAUSE.0);
        let call = dial.session;
        self.command(RoomCommand::CancelDial { call });
    }

    /// Makes an answered call a joining member. A call that was being cancelled is hung up.
    pub(super) fn dial_answered(
        &mut self,
        session: CallId,
        member: MemberId,
        deadline: Timestamp,
        synthesized: bool,
    ) {
        if self.room.attempt(session).is_none() {
            return;
        }
        let Some(dial) = self.room.take_dial(session) else {
            return;
        };
        let joins = self.room.is_open() && dial.cancelled_at.is_none();
        self.report_dial(&dial, DialChange::Answered, synthesized);
        let caller_id = dial.request.from.as_ref().map(ToString::to_string);
        let did = dial.request.to.to_string();
        self.effects.push(RoomEffect::CallDialled {
            call: session,
            caller_id: caller_id.clone(),
            did: did.clone(),
            joins,
            synthesized,
        });
        if joins && !self.room.members.contains_key(&session) {
            let status = MemberStatus::Joining {
                deadline,
                command_uid: dial.command_uid,
                attempt: JoinAttempt::First,
            };
            let numbers = (caller_id.unwrap_or_default().into(), did.into());
            let mut member = self.new_member(member, status, numbers, dial.request.muted);
            member.settings = dial.request.member.clone();
            if dial.deaf {
                member.audio = Some(MemberAudio::with_hold(Hold::waiting(None)));
            }
            self.room.put_member(session, member);
        }
        self.finish_if_empty();
    }

    /// Ends a dial-out whose call is known already, and not on its way into this room. A call that was being cancelled is
    /// hung up.
    fn dial_answered_elsewhere(&mut self, session: CallId, synthesized: bool) {
        if self.room.attempt(session).is_none() {
            return;
        }
        let Some(dial) = self.room.take_dial(session) else {
            return;
        };
        self.report_dial(&dial, DialChange::Answered, synthesized);
        if !self.room.is_open() || dial.cancelled_at.is_some() {
            self.effects.push(RoomEffect::CallDialled {
                call: session,
                caller_id: None,
                did: dial.request.to.to_string(),
                joins: false,
                synthesized,
            });
        }
        self.finish_if_empty();
    }

    /// Ends an attempt; the next one follows after a pause if there is one.
    fn dial_over(
        &mut self,
        session: CallId,
        cause: &str,
        sip_status: Option<u16>,
        synthesized: bool,
    ) {
        if self.room.attempt(session).is_some() {
            self.end_dial(session, cause, sip_status, synthesized);
        }
    }

    fn end_dial(
        &mut self,
        session: CallId,
        cause: &str,
        sip_status: Option<u16>,
        synthesized: bool,
    ) {
        let (now, is_open) = (self.now, self.room.is_open());
        let Some(mut dial) = self.room.take_dial(session) else {
            return;
        };
        let outcome = match dial.cancelled_at {
            Some(_) => DialOutcome::Cancelled,
            None => DialOutcome::from_cause(cause),
        };
        let repeats = is_open
            && outcome != DialOutcome::Cancelled
            && dial.attempt < dial.request.attempts()
            && may_succeed_later(cause);
        let retry_at =
            repeats.then(|| now + std::time::Duration::from_secs(dial.request.retry_pause.into()));
        let change = DialChange::Ended {
            outcome,
            cause: cause.to_owned(),
            sip_status,
            retry_at,
        };
        self.report_dial(&dial, change, synthesized);
        if let Some(at) = retry_at {
            dial.phase = DialPhase::Waiting;
            dial.refused = None;
            dial.deadline = at;
            self.room.put_dial(dial);
        }
        self.finish_if_empty();
    }

    /// Ends an attempt of which FreeSWITCH has no channel, unless its command may still be on its way.
    fn dial_not_found(&mut self, session: CallId) {
        let now = self.now;
        let Some(dial) = self.room.attempt_mut(session) else {
            return;
        };
        let cause = dial.refused.clone();
        if cause.is_none() && now.since(dial.begun_at) < MAX_QUEUE_TIME {
            dial.deadline = dial.deadline.min(dial.begun_at + MAX_QUEUE_TIME);
            return;
        }
        let cause = cause.as_deref().unwrap_or(UNKNOWN_CAUSE);
        self.dial_over(session, cause, None, true);
    }

    /// Takes the next step of each dial-out whose deadline has passed, except the next attempt, which needs a new
    /// session ([`DialInput::Retry`]).
    pub(super) fn dial_deadlines(&mut self) {
        let now = self.now;
        let due: Vec<DialOut> = self
            .room
            .dials()
            .filter(|dial| dial.deadline <= now && dial.is_in_flight())
            .cloned()
            .collect();
        for due in due {
            let session = due.session;
            if let Some(cause) = &due.refused {
                self.dial_over(session, cause, None, false);
                continue;
            }
            if due.cancelled_at.is_some() || due.overdue {
                self.command(RoomCommand::CancelDial { call: session });
            }
            if due.cancelled_at.is_none() || now.since(due.begun_at) >= MAX_QUEUE_TIME {
                // Its events may be lost: a snapshot shows its answer or its end.
                self.effects.push(RoomEffect::CheckAgain);
            }
            let pause = due.cancelled_at.map_or(OVERDUE, |at| {
                now.since(at).clamp(CANCEL_PAUSE.0, CANCEL_PAUSE.1)
            });
            if let Some(dial) = self.room.attempt_mut(session) {
                dial.overdue |= now >= dial.begun_at + dial.request.timeout() + OVERDUE;
                dial.deadline = now + pause;
            }
        }
    }

    /// Cancels every dial-out, because the room ends.
    pub(super) fn cancel_dials(&mut self) {
        let all: Vec<CallId> = self.room.dials().map(|dial| dial.id).collect();
        for id in all {
            self.cancel_dial(id);
        }
    }

    /// Ends every attempt without a report of FreeSWITCH, and its call with the last command for it.
    pub(super) fn drop_dials(&mut self) {
        let all: Vec<CallId> = self
            .room
            .dials()
            .filter(|dial| dial.is_in_flight())
            .map(|dial| dial.session)
            .collect();
        for session in all {
            self.command(RoomCommand::CancelDial { call: session });
            self.dial_over(session, UNKNOWN_CAUSE, None, true);
        }
    }

    fn report_dial(&mut self, dial: &DialOut, change: DialChange, synthesized: bool) {
        let event = RoomEvent::Dial(DialEvent {
            id: dial.id,
            session: dial.session,
            to: dial.request.to.to_string(),
            attempt: dial.attempt,
            attempts: dial.request.attempts(),
            change,
        });
        self.notify(event, dial.command_uid.clone(), synthesized);
    }
}
