//! Dial-outs: calls that FreeSWITCH makes for a room.
//!
//! FreeSWITCH gets a command at most once for each attempt, under a session that is committed before. Its events, the
//! answer to the command, or a snapshot end the attempt; a command without an answer is never repeated.

use crate::call::{CallInput, Direction};
use crate::command_error::CommandError;
use crate::entity::Target;
use crate::ids::{CallId, ChannelId, MemberId, RoomId};
use crate::intent::{Accepted, CancelDial, Decision, Dial, DialAccepted, DialCancelled, Refusal};
use crate::room::dial::MAX_DIALS;
use crate::room::{DialInput, DialOut, DialPhase, RoomInput, RoomState};
use crate::switch_command::{SwitchAction, SwitchCommand};
use crate::switch_event::{ChannelChange, Identity};

use super::intent::Request;
use super::{Context, NodeState};

/// The number of attempts whose late beginning is recognized.
const MAX_UNKNOWN_DIALS: usize = 256;

/// An answered call of a dial-out.
pub(super) struct Dialled {
    pub(super) call: CallId,
    pub(super) caller_id: Option<String>,
    pub(super) did: String,
    /// True if it joins the room; false if it must be hung up.
    pub(super) joins: bool,
    pub(super) synthesized: bool,
}

impl NodeState {
    pub(super) fn check_dial(&self, room: RoomId, dial: &Dial) -> Result<Decision, Refusal> {
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        let registration = state.registration().ok_or(Refusal::RoomNotFound)?;
        let request = &dial.request;
        let rules = &self.rules.dial;
        if !rules.allows(&registration.app, &request.to, request.from.as_ref()) {
            return Err(Refusal::DestinationNotAllowed);
        }
        if dial.session.node() != self.node || self.is_alive(dial.session) {
            return Err(Refusal::DialNotFound);
        }
        let dialling = state.dials().count();
        if dialling >= MAX_DIALS {
            return Err(Refusal::TooManyDials);
        }
        if state.is_full_with(dialling) {
            return Err(Refusal::RoomFull);
        }
        Ok(Decision::Act)
    }

    pub(super) fn start_dial(
        &mut self,
        by: Request,
        dial: Dial,
        cx: &mut Context<'_>,
    ) -> Result<DialAccepted, Refusal> {
        let room = by.room()?;
        let session = dial.session;
        let dial = DialOut::new(session, *dial.request, by.command_uid, cx.now);
        // A node that makes the call can host the room.
        self.room_input(room, RoomInput::Placed, cx);
        self.room_input(room, RoomInput::Dial(DialInput::Start(Box::new(dial))), cx);
        Ok(DialAccepted { session })
    }

    fn new_session(&self, cx: &mut Context<'_>) -> CallId {
        CallId::new(self.node, ChannelId::new(cx.ids.next_uuid()))
    }

    pub(super) fn check_cancel_dial(
        &self,
        room: RoomId,
        cancel: CancelDial,
    ) -> Result<Decision, Refusal> {
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        let dial = state.dial(cancel.id).ok_or(Refusal::DialNotFound)?;
        Ok(match dial.cancelled_at {
            Some(_) => Decision::NoChange(Accepted::CancelDial(DialCancelled { over: false })),
            None => Decision::Act,
        })
    }

    pub(super) fn cancel_dial(
        &mut self,
        by: Request,
        cancel: CancelDial,
        cx: &mut Context<'_>,
    ) -> Result<DialCancelled, Refusal> {
        let room = by.room()?;
        let input = DialInput::Cancel {
            id: cancel.id,
            command_uid: by.command_uid,
        };
        self.room_input(room, RoomInput::Dial(input), cx);
        let is_over = |state: &RoomState| state.dial(cancel.id).is_none();
        Ok(DialCancelled {
            over: self.room(room).is_none_or(is_over),
        })
    }

    /// Returns the room whose current attempt has this channel. Looks through all rooms: only a snapshot needs it.
    pub(super) fn dialling_room(&self, channel: ChannelId) -> Option<RoomId> {
        let session = CallId::new(self.node, channel);
        let mut rooms = self.rooms.values();
        let room = rooms.find(|room| room.attempt(session).is_some());
        room.map(|room| room.id())
    }

    /// Returns the channels of all attempts in progress.
    pub(super) fn dialled_channels(&self) -> impl Iterator<Item = ChannelId> {
        let rooms = self.rooms.values();
        rooms
            .flat_map(|room| room.dials())
            .filter(|dial| dial.is_in_flight())
            .map(|dial| dial.session.channel())
    }

    /// Returns true if this event of a dialled channel concerns a dial-out that the loaded room does not have: another
    /// replica may have written it.
    pub(super) fn lacks_dial(&self, room: RoomId, channel: ChannelId) -> bool {
        let session = CallId::new(self.node, channel);
        room.node() == self.node
            && !self.ended.contains_key(&channel)
            && self.call(session).is_none()
            && self
                .room(room)
                .is_none_or(|room| room.attempt(session).is_none())
    }

    /// Applies what an event of a dialled channel means for its dial-out.
    pub(super) fn dial_event(
        &mut self,
        room: RoomId,
        channel: ChannelId,
        (change, sip_status, answered): (&ChannelChange, Option<u16>, bool),
        cx: &mut Context<'_>,
    ) {
        let session = CallId::new(self.node, channel);
        if self
            .room(room)
            .is_none_or(|room| room.attempt(session).is_none())
        {
            return self.end_unknown_attempt(room, session, change, cx);
        }
        let input = match change {
            ChannelChange::Ringing => DialInput::Ringing { session },
            ChannelChange::Answered(_) => return self.dial_answered(room, session, false, cx),
            ChannelChange::Parked { .. } => return self.dial_answered(room, session, true, cx),
            // The event of the answer is lost. Such a callee must not be called again.
            ChannelChange::HungUp { .. } | ChannelChange::Destroyed { .. } if answered => {
                return self.dial_answered(room, session, true, cx);
            }
            ChannelChange::HungUp { cause } | ChannelChange::Destroyed { cause: Some(cause) } => {
                DialInput::HungUp {
                    session,
                    cause: cause.clone(),
                    sip_status,
                }
            }
            ChannelChange::Created(_)
            | ChannelChange::Destroyed { cause: None }
            | ChannelChange::StepEnded { .. }
            | ChannelChange::Digit(_)
            | ChannelChange::ListenedTo
            | ChannelChange::Bridged { .. }
            | ChannelChange::Leg { .. }
            | ChannelChange::RecordingStarted { .. }
            | ChannelChange::RecordingStopped { .. }
            | ChannelChange::Dialled { .. } => return,
        };
        self.room_input(room, RoomInput::Dial(input), cx);
    }

    /// Ends an attempt that is over here and begins at FreeSWITCH: its command was late. The callee would be called for
    /// nobody.
    fn end_unknown_attempt(
        &self,
        room: RoomId,
        call: CallId,
        change: &ChannelChange,
        cx: &mut Context<'_>,
    ) {
        let begins = matches!(change, ChannelChange::Created(_) | ChannelChange::Ringing);
        let is_late = self.unknown_dials.contains(&call.channel());
        if begins && is_late && self.call(call).is_none() {
            let target = Target::Member { room, call };
            let command = SwitchCommand::new(target, SwitchAction::CancelDial);
            cx.out.commands.push(command);
        }
    }

    pub(super) fn dial_answered(
        &mut self,
        room: RoomId,
        session: CallId,
        synthesized: bool,
        cx: &mut Context<'_>,
    ) {
        let input = DialInput::Answered {
            session,
            member: MemberId::generate(self.node, cx.ids.next_uuid()),
            deadline: cx.now + self.rules.timeouts.join,
            elsewhere: self.is_alive(session),
            synthesized,
        };
        self.room_input(room, RoomInput::Dial(input), cx);
    }

    /// Makes an answered call a call of the room's app.
    pub(super) fn call_dialled(&mut self, room: RoomId, dialled: Dialled, cx: &mut Context<'_>) {
        let Dialled {
            call,
            caller_id,
            did,
            joins,
            synthesized,
        } = dialled;
        let app = self.room(room).and_then(RoomState::registration);
        let Some(app) = app.map(|registration| registration.app.clone()) else {
            return;
        };
        let identity = self.identities.entry(call.channel());
        let identity = identity.or_insert_with(|| Identity {
            caller_id: Default::default(),
            did: None,
            direction: Direction::Outbound,
            app: Some(app.clone()),
            created_at: None,
            answered_at: None,
        });
        identity.direction = Direction::Outbound;
        identity.did = Some(did.into());
        // The answer is reported after the call itself.
        identity.answered_at = None;
        if let Some(caller_id) = caller_id {
            identity.caller_id = caller_id.into();
        }
        if !self.is_alive(call) {
            self.first_seen(call, app, cx.now, synthesized, cx);
        }
        if joins {
            self.call_input(call, CallInput::Joining { room }, cx);
        } else {
            let hang_up = SwitchAction::Hangup { cause: None };
            let command = SwitchCommand::new(Target::Call(call), hang_up);
            cx.out.commands.push(command);
        }
    }

    /// Applies the failure of a command that dials.
    pub(super) fn dial_refused(
        &mut self,
        room: RoomId,
        session: CallId,
        error: &CommandError,
        cx: &mut Context<'_>,
    ) {
        let cause = match error {
            CommandError::Refused(cause) => cause.clone(),
            // The command did not reach FreeSWITCH.
            CommandError::Down { .. } | CommandError::Busy => "NORMAL_TEMPORARY_FAILURE".to_owned(),
            // FreeSWITCH may have carried it out: its events or a snapshot decide.
            CommandError::NoSuchChannel | CommandError::Unknown => return,
        };
        let input = DialInput::Refused { session, cause };
        self.room_input(room, RoomInput::Dial(input), cx);
    }

    pub(super) fn dial_not_found(&mut self, room: RoomId, session: CallId, cx: &mut Context<'_>) {
        let input = DialInput::NotFound { session };
        self.room_input(room, RoomInput::Dial(input), cx);
        let attempt = self.room(room).and_then(|room| room.attempt(session));
        if attempt.is_none() {
            if self.unknown_dials.len() >= MAX_UNKNOWN_DIALS {
                self.unknown_dials.clear();
            }
            self.unknown_dials.insert(session.channel());
        }
    }

    /// Begins the next attempt of each dial-out of a room whose pause is over.
    pub(super) fn retry_dials(&mut self, room: RoomId, cx: &mut Context<'_>) {
        let due: Vec<CallId> = self
            .room(room)
            .into_iter()
            .flat_map(RoomState::dials)
            .filter(|dial| dial.phase == DialPhase::Waiting && dial.deadline <= cx.now)
            .map(|dial| dial.id)
            .collect();
        for id in due {
            let session = self.new_session(cx);
            self.room_input(room, RoomInput::Dial(DialInput::Retry { id, session }), cx);
        }
    }
}
