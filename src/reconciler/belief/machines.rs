//! How rooms and calls move each other: every input to the one that follows from the other.

use std::time::Duration;

use smallvec::SmallVec;

use crate::ids::{RoomId, SessionId};
use crate::room::{
    self, EventStamp, Kind, LeftReason, MemberStatus, Registration, RoomCommand, RoomEffect,
    RoomInput, RoomState,
};
use crate::session::{self, Parking, Place, SessionEffect, SessionInput, SessionState};
use crate::store::EntityId;

use super::{About, Belief, Cx, LiveNotice, Notice, Order};

impl Belief {
    /// What another replica has written together with this: the room that it has sent the call into, or the calls that it
    /// has sent into the room or out of it. Where the one is read again, what is believed of the other is old.
    pub fn written_with(&self, entity: EntityId) -> Vec<EntityId> {
        match entity {
            EntityId::Session(id) => {
                let room = self.session(id).and_then(|call| call.place().room());
                let room = room.filter(|room| !self.is_member(*room, id));
                room.map(EntityId::Room).into_iter().collect()
            }
            EntityId::Room(id) => {
                let room = self.room(id).filter(|room| room.is_open());
                room.into_iter()
                    .flat_map(RoomState::members)
                    .filter(|(call, member)| {
                        let place = self.session(**call).map(SessionState::place);
                        match member.status {
                            MemberStatus::Joining { .. } => !matches!(
                                place,
                                Some(Place::Joining(to) | Place::Acting(Some(to))) if *to == id
                            ),
                            MemberStatus::Leaving { .. } => {
                                !matches!(place, Some(Place::Leaving(_)))
                            }
                            MemberStatus::Joined => false,
                        }
                    })
                    .map(|(call, _)| EntityId::Session(*call))
                    .collect()
            }
        }
    }

    /// The calls that are believed to be on their way into that room. Whichever is not any more when the room is read again,
    /// another replica has written together with it.
    pub fn on_their_way_into(&self, entity: EntityId) -> Vec<EntityId> {
        let EntityId::Room(id) = entity else {
            return Vec::new();
        };
        let members = self.room(id).into_iter().flat_map(RoomState::members);
        members
            .filter(|(_, member)| matches!(member.status, MemberStatus::Joining { .. }))
            .map(|(call, _)| EntityId::Session(*call))
            .collect()
    }

    pub(super) fn is_member(&self, room: RoomId, call: SessionId) -> bool {
        let room = self.room(room);
        room.is_some_and(|room| room.members().contains_key(&call))
    }

    pub(super) fn room_input(&mut self, id: RoomId, input: RoomInput, cx: &mut Cx<'_>) {
        if self.left_alone.contains(&EntityId::Room(id)) {
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
        for effect in effects {
            if let RoomEffect::SessionEntered {
                session, sequence, ..
            } = &effect
            {
                entered.push((*session, *sequence));
            }
            self.room_effect(id, effect, cx);
        }
        for (session, sequence) in entered {
            self.was_there_before(id, session, sequence, cx);
            self.stays_as_its_room_says(id, session, cx);
        }
        // A conference that came and went without being one of ours leaves nothing behind.
        let forgotten = |room: &RoomState| {
            room.registration().is_none()
                && room.conference().is_none()
                && room.members().is_empty()
        };
        if !is_registered && self.room(id).is_some_and(forgotten) {
            self.rooms.remove(&id);
        }
    }

    /// A call that is seen in a room, and has told of a later place already, has left the room since.
    fn was_there_before(
        &mut self,
        room: RoomId,
        session: SessionId,
        sequence: u64,
        cx: &mut Cx<'_>,
    ) {
        let Some(call) = self.session(session) else {
            return;
        };
        if call.is_elsewhere_since(room, sequence) {
            let reason = match call.place() {
                Place::InRoom(_) | Place::Leaving(Some(_)) => LeftReason::Moved,
                Place::Ringing
                | Place::Parked
                | Place::Acting(_)
                | Place::Joining(_)
                | Place::Leaving(None)
                | Place::Ended => LeftReason::Removed,
            };
            let since = Some(call.place_at());
            self.room_gone(room, session, since, (reason, true), cx);
        }
    }

    /// Takes back that a call is leaving when its room has it as a joined member. A call and its member begin and stop
    /// leaving in one commit, so the call is an old copy: another replica wrote both, and only the room was read again.
    /// The commit of this change then finds another version, and the call is read again, too.
    fn stays_as_its_room_says(&mut self, room: RoomId, session: SessionId, cx: &mut Cx<'_>) {
        let member = self
            .room(room)
            .and_then(|room| room.members().get(&session));
        let is_joined = member.is_some_and(|member| member.status == MemberStatus::Joined);
        let is_leaving = self
            .session(session)
            .is_some_and(|call| *call.place() == Place::Leaving(Some(room)));
        if is_joined && is_leaving {
            self.session_input(session, SessionInput::Stays { room }, cx);
        }
    }

    /// The registration of a room that has no conference yet: whoever enters creates it.
    fn creates_conference(&self, room: RoomId) -> Option<Registration> {
        let room = self.room(room)?;
        let is_first = room.conference().is_none();
        room.registration().filter(|_| is_first).cloned()
    }

    fn registration(&self, room: RoomId) -> Option<&Registration> {
        self.room(room).and_then(RoomState::registration)
    }

    pub(super) fn room_effect(&mut self, id: RoomId, effect: RoomEffect, cx: &mut Cx<'_>) {
        match effect {
            RoomEffect::Command(command) => {
                let kind = self.room(id).map_or(Kind::Conference, RoomState::kind);
                let order = match command {
                    RoomCommand::Enter { session, muted } => Order::Enter {
                        session,
                        room: id,
                        kind,
                        muted,
                        registration: self.creates_conference(id).map(Box::new),
                    },
                    RoomCommand::RecordStart {
                        id: recording,
                        path,
                    } => Order::RecordStart {
                        room: id,
                        recording,
                        path,
                    },
                    RoomCommand::RecordStop {
                        id: recording,
                        path,
                    } => Order::RecordStop {
                        room: id,
                        recording,
                        path,
                    },
                    RoomCommand::Park { session } => Order::Park {
                        session,
                        room: id,
                        parking: self.parking(session, cx),
                    },
                    RoomCommand::Mute { session, mute } => Order::Mute {
                        session,
                        room: id,
                        mute,
                    },
                    RoomCommand::Lock { lock } => Order::Lock { room: id, lock },
                    RoomCommand::Play(command) => Order::Play { room: id, command },
                    RoomCommand::Describe => {
                        let Some(registration) = self.registration(id) else {
                            return;
                        };
                        Order::Describe {
                            room: id,
                            registration: Box::new(registration.clone()),
                        }
                    }
                };
                cx.out.orders.push(order);
            }
            RoomEffect::Notify(notice) => {
                if let Some(registration) = self.registration(id) {
                    cx.out.notices.push(Notice {
                        app: registration.app.clone(),
                        about: About::Room(id, notice),
                    });
                }
            }
            RoomEffect::Live(fact) => {
                if let Some(registration) = self.registration(id) {
                    cx.out.live.push(LiveNotice {
                        app: registration.app.clone(),
                        room: id,
                        fact,
                    });
                }
            }
            RoomEffect::SessionEntered {
                session,
                sequence,
                synthesized,
            } => {
                if !self.is_alive(session) {
                    // The dialplan brought it straight in: it is the app's whose room it is, unless it has one.
                    let app = self
                        .app_of(session.channel())
                        .or_else(|| self.registration(id).map(|r| r.app.clone()));
                    let Some(app) = app else { return };
                    self.first_seen(session, app, cx.now, synthesized, cx);
                }
                self.session_input(session, SessionInput::Entered { room: id, sequence }, cx);
            }
            RoomEffect::SessionNotEntered {
                session,
                turned_away,
            } => {
                let not_entered = SessionInput::NotEntered {
                    room: id,
                    turned_away,
                };
                self.session_input(session, not_entered, cx);
            }
            RoomEffect::SessionReenters { session } => {
                self.session_input(session, SessionInput::Joining { room: id }, cx);
            }
            RoomEffect::SessionStrayed { session, sequence } => {
                self.session_input(session, SessionInput::Strayed { sequence }, cx);
            }
            RoomEffect::SessionLeft { session, sequence } => {
                let then = self
                    .registration(id)
                    .map(|r| r.details.post_actions.clone())
                    .unwrap_or_default();
                if self.sessions.contains_key(&session) {
                    self.session_input(session, SessionInput::Left { room: id, sequence }, cx);
                    self.act_after(session, id, &then, cx);
                }
            }
            RoomEffect::SessionStays { session } => {
                if self.sessions.contains_key(&session) {
                    self.session_input(session, SessionInput::Stays { room: id }, cx);
                }
            }
        }
    }

    pub(super) fn session_input(&mut self, id: SessionId, input: SessionInput, cx: &mut Cx<'_>) {
        // One that is over has been let go of, or is read only because somebody named it.
        let Some(session) = self.sessions.get_mut(&id).filter(|call| !call.is_over()) else {
            return;
        };
        let effects = session::apply(session, input, cx.now);
        // Most of what a snapshot shows is as it was believed to be.
        if session.has_changed() {
            self.touched.insert(EntityId::Session(id));
        }
        for effect in effects {
            match effect {
                SessionEffect::Notify(notice) => {
                    let Some(session) = self.session(id) else {
                        continue;
                    };
                    cx.out.notices.push(Notice {
                        app: session.app().clone(),
                        about: About::Session(id, notice),
                    });
                }
                SessionEffect::RoomGone {
                    room,
                    session,
                    sequence,
                    reason,
                    synthesized,
                } => self.room_gone(room, session, sequence, (reason, synthesized), cx),
                SessionEffect::Step {
                    room,
                    id: step_id,
                    step,
                } => cx.out.orders.push(Order::Step {
                    session: id,
                    room,
                    id: step_id,
                    step,
                }),
                SessionEffect::AskAgain => {
                    cx.out.resync = Some("an order may not have been carried out");
                }
                SessionEffect::Break { room } => {
                    let parking = self.parking(id, cx);
                    cx.out.orders.push(Order::Break {
                        session: id,
                        room,
                        parking,
                    });
                }
                SessionEffect::Ready { room } => {
                    let deadline = cx.now + self.rules.patience.join;
                    let enter = RoomInput::Enter {
                        session: id,
                        deadline,
                    };
                    self.room_input(room, enter, cx);
                }
                SessionEffect::RoomNotEntered {
                    room,
                    session,
                    reason,
                } => self.room_input(room, RoomInput::NotEntered { session, reason }, cx),
            }
        }
    }

    /// The call is to be parked by an order that is decided now, and that is told apart from the one before.
    fn parking(&mut self, session: SessionId, cx: &mut Cx<'_>) -> Parking {
        let last = self.session(session).and_then(SessionState::parking);
        let next = last.map(|last| last.0 + Duration::from_micros(1));
        let parking = Parking(next.map_or(cx.now, |next| next.max(cx.now)));
        // Of those that are in a room that ends nothing is written until they are heard to be out: there can be thousands,
        // and they are told once.
        if self.touched.contains(&EntityId::Session(session)) {
            self.session_input(session, SessionInput::Parking(parking), cx);
        }
        parking
    }

    pub(super) fn room_gone(
        &mut self,
        room: RoomId,
        session: SessionId,
        sequence: Option<u64>,
        (reason, synthesized): (LeftReason, bool),
        cx: &mut Cx<'_>,
    ) {
        let stay = self
            .room(room)
            .and_then(|r| r.members().get(&session))
            .and_then(|m| m.stay);
        // Without a stay there is nothing to end; without a sequence the run of FreeSWITCH is over, and the room has
        // been told so already.
        if let (Some(stay), Some(sequence)) = (stay, sequence) {
            let at = EventStamp {
                core: stay.core,
                conference: stay.conference,
                sequence,
                synthesized,
            };
            let counted = self.still_counted.entry(room).or_default();
            counted.insert(session.channel());
            self.room_input(
                room,
                RoomInput::Gone {
                    at,
                    session,
                    reason,
                },
                cx,
            );
        }
    }
}
