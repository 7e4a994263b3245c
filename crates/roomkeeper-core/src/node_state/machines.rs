//! The interplay of the state machines of rooms and calls: effects of one become inputs of the other.

use std::time::Duration;

use smallvec::SmallVec;

use crate::call::{self, CallEffect, CallInput, CallState, CallStatus, ParkId};
use crate::entity::{EntityId, Target};
use crate::ids::{CallId, RoomId};
use crate::room::{
    self, Entry, EventStamp, LeftReason, LiveChange, MemberStatus, Registration, RoomCommand,
    RoomEffect, RoomInput, RoomState,
};

use crate::switch_command::{SwitchAction, SwitchCommand};

use super::dial::Dialled;
use super::{Context, LiveNotification, NodeState, Notification, Subject};

impl NodeState {
    /// Returns the entities that another replica must have written together with this one, which was just loaded: the
    /// room that it sent the call into, or the calls that it sent into or out of the room. Our copies of them are
    /// outdated.
    pub fn written_together_with(&self, entity: EntityId) -> Vec<EntityId> {
        match entity {
            EntityId::Call(id) => {
                let Some(status) = self.call(id).map(CallState::status) else {
                    return Vec::new();
                };
                let room = status.room().filter(|room| !self.is_member(*room, id));
                let left = if let CallStatus::Moving { from, .. } = status {
                    from.filter(|room| !self.moves_out(*room, id))
                } else {
                    None
                };
                let rooms = room.into_iter().chain(left);
                rooms
                    .chain(self.room_without_coach(id))
                    .map(EntityId::Room)
                    .collect()
            }
            EntityId::Room(id) => {
                let room = self.room(id).filter(|room| room.is_open());
                room.into_iter()
                    .flat_map(RoomState::members)
                    .filter(|(call, member)| {
                        let status = self.call(**call).map(CallState::status);
                        match member.status {
                            MemberStatus::Joining { .. } => !matches!(
                                status,
                                Some(CallStatus::Joining(to) | CallStatus::Acting(Some(to)) | CallStatus::Moving { to, .. }) if *to == id
                            ),
                            MemberStatus::Leaving { .. } => !matches!(
                                status,
                                Some(CallStatus::Leaving(_) | CallStatus::Moving { .. })
                            ),
                            MemberStatus::Joined => false,
                        }
                    })
                    .flat_map(|(call, member)| {
                        let other = member.moving_to().or(member.moving_from());
                        let other = other.map(EntityId::Room);
                        std::iter::once(EntityId::Call(*call)).chain(other)
                    })
                    .chain(self.coaches_without_work(id))
                    .collect()
            }
        }
    }

    /// Returns the coaches of a room that have no such work, according to the loaded state.
    fn coaches_without_work(&self, room: RoomId) -> impl Iterator<Item = EntityId> {
        let coaches = self.room(room).into_iter().flat_map(RoomState::coaches);
        coaches
            .filter(move |(member, coach)| {
                let work = self.call(coach.call).and_then(CallState::coaching);
                work.is_none_or(|work| work.room != room || work.member != **member)
            })
            .map(|(_, coach)| EntityId::Call(coach.call))
    }

    /// Returns the room of a coach that does not know it, according to the loaded state.
    fn room_without_coach(&self, coach: CallId) -> Option<RoomId> {
        let work = self.call(coach).and_then(CallState::coaching)?;
        let room = self.room(work.room);
        let known = room.and_then(|room| room.coaches().get(&work.member));
        known
            .is_none_or(|known| known.call != coach)
            .then_some(work.room)
    }

    /// Returns true if a member of this room is on its way to another one.
    fn moves_out(&self, room: RoomId, call: CallId) -> bool {
        let member = self.room(room).and_then(|room| room.members().get(&call));
        member.is_some_and(|member| member.moving_to().is_some())
    }

    /// Returns the calls that are joining a room, according to the loaded state. If a call is no longer joining when the
    /// room is read again, another replica has written both.
    pub fn calls_joining(&self, entity: EntityId) -> Vec<EntityId> {
        let EntityId::Room(id) = entity else {
            return Vec::new();
        };
        let members = self.room(id).into_iter().flat_map(RoomState::members);
        members
            .filter(|(_, member)| matches!(member.status, MemberStatus::Joining { .. }))
            .map(|(call, _)| EntityId::Call(*call))
            .collect()
    }

    pub(super) fn is_member(&self, room: RoomId, call: CallId) -> bool {
        let room = self.room(room);
        room.is_some_and(|room| room.members().contains_key(&call))
    }

    pub(super) fn room_input(&mut self, id: RoomId, input: RoomInput, cx: &mut Context<'_>) {
        if self.unreadable.contains(&EntityId::Room(id)) {
            return;
        }
        let room = self
            .rooms
            .entry(id)
            .or_insert_with(|| Box::new(RoomState::unregistered(id)));
        self.touched.insert(EntityId::Room(id));
        let mut entered = SmallVec::<[_; 1]>::new();
        let effects = room::apply(room, input, cx.now);
        let is_registered = room.registration().is_some();
        self.reporting.push(id);
        for effect in effects {
            if let RoomEffect::CallEntered { call, sequence, .. } = &effect {
                entered.push((*call, *sequence));
            }
            self.room_effect(id, effect, cx);
        }
        self.reporting.pop();
        for (call, sequence) in entered {
            self.leave_if_elsewhere(id, call, sequence, cx);
            self.restore_joined_call(id, call, cx);
        }
        // An ended conference that never belonged to an app is dropped.
        let is_disposable = |room: &RoomState| {
            room.registration().is_none()
                && room.conference().is_none()
                && room.members().is_empty()
        };
        if !is_registered && self.room(id).is_some_and(is_disposable) {
            self.rooms.remove(&id);
        }
        if self.reporting.is_empty() {
            for (room, input) in std::mem::take(&mut self.deferred) {
                self.room_input(room, input, cx);
            }
        }
    }

    /// Applies an input of a room once the effects of the present one are applied: both can notify about the same room, and
    /// the numbers of its notifications are in order.
    pub(super) fn room_input_later(&mut self, id: RoomId, input: RoomInput, cx: &mut Context<'_>) {
        if self.reporting.is_empty() {
            self.room_input(id, input, cx);
        } else {
            self.deferred.push((id, input));
        }
    }

    /// Takes a call out of a room that reports it, if a later event has moved the call elsewhere.
    fn leave_if_elsewhere(
        &mut self,
        room: RoomId,
        call: CallId,
        sequence: u64,
        cx: &mut Context<'_>,
    ) {
        let Some(state) = self.call(call) else {
            return;
        };
        if state.is_elsewhere_since(room, sequence) {
            let reason = match state.status() {
                CallStatus::InRoom(_)
                | CallStatus::Leaving(Some(_))
                | CallStatus::Moving { .. } => LeftReason::Moved,
                CallStatus::Transferring | CallStatus::Transferred => LeftReason::Transferred,
                CallStatus::Ringing
                | CallStatus::Parked
                | CallStatus::Acting(_)
                | CallStatus::Coaching
                | CallStatus::Joining(_)
                | CallStatus::Leaving(None)
                | CallStatus::Ended => LeftReason::Removed,
            };
            let since = Some(state.status_at());
            self.room_gone(room, call, since, (reason, true), cx);
        }
    }

    /// Reverts the leave of a call that is a joined member of its room. A call and its member begin and stop
    /// leaving in one commit, so the call is an old copy: another replica wrote both, and only the room was read again.
    /// The commit of this change then finds another version, and the call is read again, too.
    fn restore_joined_call(&mut self, room: RoomId, call: CallId, cx: &mut Context<'_>) {
        let member = self.room(room).and_then(|room| room.members().get(&call));
        let is_joined = member.is_some_and(|member| member.status == MemberStatus::Joined);
        let is_leaving = self.call(call).is_some_and(|state| {
            let is_going = matches!(
                state.status(),
                CallStatus::Leaving(Some(_)) | CallStatus::Moving { .. }
            );
            is_going && state.status().present_in() == Some(room)
        });
        if is_joined && is_leaving {
            self.call_input(call, CallInput::Stays { room }, cx);
        }
    }

    pub(super) fn registration(&self, room: RoomId) -> Option<&Registration> {
        self.room(room).and_then(RoomState::registration)
    }

    pub(super) fn room_effect(&mut self, id: RoomId, effect: RoomEffect, cx: &mut Context<'_>) {
        match effect {
            effect @ RoomEffect::MoveFailed { .. } => self.move_failed(id, effect, cx),
            RoomEffect::Command(command) => {
                let target = match command.call() {
                    Some(call) => Target::Member { room: id, call },
                    None => Target::Room(id),
                };
                if let RoomCommand::Enter { call, .. } = command {
                    self.enters(call, cx);
                }
                if let Some(action) = self.switch_action(id, command, cx) {
                    cx.out.commands.push(SwitchCommand::new(target, action));
                }
            }
            RoomEffect::Notify(notification) => {
                if let Some(registration) = self.registration(id) {
                    cx.out.notifications.push(Notification {
                        app: registration.app.clone(),
                        about: Subject::Room(id, notification),
                    });
                }
            }
            RoomEffect::Live(change) => {
                let Some(app) = self.registration(id).map(|r| r.app.clone()) else {
                    return;
                };
                if let LiveChange::Talking { call, talking, .. } = &change {
                    self.talk_changed(id, &app, (*call, *talking), cx);
                }
                cx.out.live.push(LiveNotification {
                    app,
                    room: id,
                    change,
                });
            }
            RoomEffect::CallEntered {
                call,
                sequence,
                synthesized,
            } => {
                self.silent.remove(&call.channel());
                if !self.is_alive(call) {
                    // The dialplan sent the call into the room directly: it belongs to the room's app unless it names one itself.
                    let app = self
                        .app_of(call.channel())
                        .or_else(|| self.registration(id).map(|r| r.app.clone()));
                    let Some(app) = app else { return };
                    self.first_seen(call, app, cx.now, synthesized, cx);
                }
                self.call_input(call, CallInput::Entered { room: id, sequence }, cx);
            }
            RoomEffect::CallDialled {
                call,
                caller_id,
                did,
                joins,
                synthesized,
            } => {
                let dialled = Dialled {
                    call,
                    caller_id,
                    did,
                    joins,
                    synthesized,
                };
                self.call_dialled(id, dialled, cx);
            }
            RoomEffect::CheckAgain => {
                cx.out.resync = Some("the events of a dial-out or a level may be lost");
            }
            RoomEffect::CallNotEntered { call, turned_away } => {
                let not_entered = CallInput::NotEntered {
                    room: id,
                    turned_away,
                };
                self.call_input(call, not_entered, cx);
            }
            RoomEffect::CallReenters { call } => {
                self.call_input(call, CallInput::Joining { room: id }, cx);
            }
            RoomEffect::CallStrayed { call, sequence } => {
                self.call_input(call, CallInput::Strayed { sequence }, cx);
            }
            RoomEffect::CallLeft {
                call,
                sequence,
                moved,
            } => {
                // A member that moves has not left for good.
                let registration = self.registration(id).filter(|_| !moved);
                let then = registration
                    .map(|r| r.details.post_actions.clone())
                    .unwrap_or_default();
                if self.calls.contains_key(&call) {
                    self.call_input(call, CallInput::Left { room: id, sequence }, cx);
                    self.act_after(call, id, &then, cx);
                }
            }
            RoomEffect::CoachedLeft { member, coach } => self.coached_left(id, member, coach, cx),
            RoomEffect::CallStays { call } => {
                if self.calls.contains_key(&call) {
                    self.call_input(call, CallInput::Stays { room: id }, cx);
                }
            }
        }
    }

    /// Translates a command of a room into the action for FreeSWITCH.
    fn switch_action(
        &mut self,
        id: RoomId,
        command: RoomCommand,
        cx: &mut Context<'_>,
    ) -> Option<SwitchAction> {
        Some(match command {
            RoomCommand::Enter { call } => {
                let entry = self.room(id)?.entry(call)?;
                SwitchAction::Enter(self.detecting(id, entry))
            }
            RoomCommand::Dial { request, .. } => SwitchAction::Dial {
                entry: self.detecting(id, self.room(id)?.dial_entry(&request)?),
                request,
            },
            RoomCommand::CancelDial { .. } => SwitchAction::CancelDial,
            RoomCommand::Record {
                recording,
                path,
                action,
                ..
            } => SwitchAction::Record {
                recording,
                path,
                action,
            },
            RoomCommand::Park { call } => SwitchAction::Park {
                id: self.next_park_id(call, cx),
            },
            RoomCommand::SetFlag { flag, on, .. } => SwitchAction::SetFlag { flag, on },
            RoomCommand::Hold { on, .. } => SwitchAction::Hold { on },
            RoomCommand::SetHearing { on, .. } => SwitchAction::SetHearing { on },
            RoomCommand::SetLevel { level, value, .. } => SwitchAction::SetLevel { level, value },
            RoomCommand::SetLock { locked } => SwitchAction::SetLock { locked },
            RoomCommand::Control(control) => SwitchAction::Control(control),
            RoomCommand::Play(command) | RoomCommand::PlayTo { command, .. } => {
                SwitchAction::Play(command)
            }
            RoomCommand::Describe => {
                let registration = Box::new(self.registration(id)?.clone());
                SwitchAction::Describe { registration }
            }
        })
    }

    /// Adds to an entry what the app of the room wants to know about the member.
    fn detecting(&self, room: RoomId, entry: Entry) -> Box<Entry> {
        Box::new(Entry {
            detects_muted_talk: self.wants_muted_talk(room),
            ..entry
        })
    }

    pub(super) fn call_input(&mut self, id: CallId, input: CallInput, cx: &mut Context<'_>) {
        // An ended call has been dropped, or was loaded only because an input names it.
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_over()) else {
            return;
        };
        let effects = call::apply(call, input, cx.now);
        // Most of what a snapshot shows is already known.
        if call.has_changed() {
            self.touched.insert(EntityId::Call(id));
        }
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            match effect {
                CallEffect::Notify(notification) => {
                    let Some(call) = self.call(id) else {
                        continue;
                    };
                    cx.out.notifications.push(Notification {
                        app: call.app().clone(),
                        about: Subject::Call(id, notification),
                    });
                }
                CallEffect::RoomGone {
                    room,
                    call,
                    sequence,
                    reason,
                    synthesized,
                } => self.room_gone(room, call, sequence, (reason, synthesized), cx),
                CallEffect::Step {
                    room,
                    id: step_id,
                    step,
                } => {
                    let action = SwitchAction::Step { id: step_id, step };
                    let target = match room {
                        Some(room) => Target::Member { room, call: id },
                        None => Target::Call(id),
                    };
                    cx.out.commands.push(SwitchCommand::new(target, action));
                }
                CallEffect::StopGather => {
                    let target = Target::Call(id);
                    let stop = SwitchCommand::new(target, SwitchAction::StopGather);
                    cx.out.commands.push(stop);
                }
                CallEffect::Gathered { room, result } => {
                    self.gathered((room, id), result, effects.as_mut_slice(), cx);
                }
                CallEffect::Transfer {
                    request,
                    leg,
                    id: park,
                } => {
                    let begin = SwitchAction::Transfer {
                        request,
                        leg,
                        id: park,
                    };
                    let command = SwitchCommand::new(Target::Call(id), begin);
                    cx.out.commands.push(command);
                }
                CallEffect::EndTransfer => {
                    let action = SwitchAction::Break {
                        id: self.next_park_id(id, cx),
                    };
                    let command = SwitchCommand::new(Target::Call(id), action);
                    cx.out.commands.push(command);
                }
                CallEffect::Coach {
                    room,
                    member,
                    id: park,
                } => {
                    let action = SwitchAction::Coach { member, id: park };
                    cx.out.commands.push(member_command(room, id, action));
                }
                CallEffect::CoachChanged {
                    room,
                    member,
                    change,
                    command_uid,
                    synthesized,
                } => {
                    let input = RoomInput::CoachChanged {
                        member,
                        coach: id,
                        change,
                        command_uid,
                        synthesized,
                    };
                    self.room_input_later(room, input, cx);
                }
                CallEffect::CheckAgain => {
                    cx.out.resync = Some("a command may not have been carried out");
                }
                CallEffect::Break { room } => {
                    let park_id = self.next_park_id(id, cx);
                    let action = SwitchAction::Break { id: park_id };
                    cx.out.commands.push(member_command(room, id, action));
                }
                CallEffect::Ready { room } => {
                    let deadline = cx.now + self.rules.timeouts.join;
                    let enter = RoomInput::Enter { call: id, deadline };
                    self.room_input(room, enter, cx);
                }
                CallEffect::RoomNotEntered { room, call, reason } => {
                    self.room_input(room, RoomInput::NotEntered { call, reason }, cx)
                }
            }
        }
    }

    /// Returns the id of a new park command for the call, different from that of the one before.
    pub(super) fn next_park_id(&mut self, call: CallId, cx: &mut Context<'_>) -> ParkId {
        let last = self.call(call).and_then(CallState::pending_park);
        let next = last.map(|last| last.0 + Duration::from_micros(1));
        let id = ParkId(next.map_or(cx.now, |next| next.max(cx.now)));
        // For the members of a room that ends, nothing is written until they have left: there can be thousands, and
        // they get one command each.
        if self.touched.contains(&EntityId::Call(call)) {
            self.call_input(call, CallInput::ParkSent(id), cx);
        }
        id
    }

    pub(super) fn room_gone(
        &mut self,
        room: RoomId,
        call: CallId,
        sequence: Option<u64>,
        (reason, synthesized): (LeftReason, bool),
        cx: &mut Context<'_>,
    ) {
        let membership = self
            .room(room)
            .and_then(|r| r.members().get(&call))
            .and_then(|m| m.membership);
        // Without a membership there is nothing to end. Without a sequence the core is over, and the room has that
        // input already.
        if let (Some(membership), Some(sequence)) = (membership, sequence) {
            let at = EventStamp {
                core: membership.core,
                conference: membership.conference,
                sequence,
                synthesized,
            };
            let counted = self.still_counted.entry(room).or_default();
            counted.insert(call.channel());
            self.room_input(room, RoomInput::MemberGone { at, call, reason }, cx);
        }
    }
}

fn member_command(room: RoomId, call: CallId, action: SwitchAction) -> SwitchCommand {
    SwitchCommand::new(Target::Member { room, call }, action)
}
