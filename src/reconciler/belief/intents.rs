//! What callers want, checked against the belief, and what they are refused for. What FreeSWITCH then refuses, and what
//! it does not confirm in time, is taken back here too.

use crate::ids::{AppId, CommandUid, MemberId, OperationId, RoomId, SessionId};
use crate::node::CommandError;
use crate::room::{
    JoinFailure, Member, MemberStatus, Origin, RecordInput, Registration, RoomInput, RoomState,
};
use crate::session::{Place, Run, SessionInput, SessionState};
use crate::store::EntityId;

use crate::reconciler::intent::{Accepted, Intent, Refusal};

use super::{Belief, Cx, Order};

impl Belief {
    /// Whether what the intent names is believed to be there and to be of the app that asks, so that it need not be looked
    /// up. Of intents that are always looked up it says no.
    pub fn vouches_for(&self, intent: &Intent) -> bool {
        match intent {
            Intent::Join {
                session, room, app, ..
            } => self.own_session(*session, app).is_ok() && self.own_room(*room, app).is_ok(),
            Intent::Leave { session, app, .. } | Intent::Mute { session, app, .. } => {
                self.own_session(*session, app).is_ok()
            }
            Intent::CreateRoom { .. }
            | Intent::UpdateRoom { .. }
            | Intent::DeleteRoom { .. }
            | Intent::Kick { .. }
            | Intent::Lock { .. }
            | Intent::RecordStart { .. }
            | Intent::RecordStop { .. }
            | Intent::Play { .. }
            | Intent::Pause { .. }
            | Intent::Stop { .. }
            | Intent::Volume { .. }
            | Intent::Answer { .. }
            | Intent::Hangup { .. } => false,
        }
    }

    /// Checks an intent and, when it may stand, takes it in.
    ///
    /// # Errors
    /// [`Refusal`], and nothing has changed.
    pub fn intent(&mut self, intent: Intent, cx: &mut Cx<'_>) -> Result<Accepted, Refusal> {
        match intent {
            Intent::CreateRoom {
                room,
                app,
                name,
                origin,
                kind,
                details,
            } => {
                let registration = Registration {
                    app,
                    name,
                    origin,
                    created_at: cx.now,
                    kind,
                    details: *details,
                };
                self.room_input(room, RoomInput::Created(registration), cx);
                if !self.reachable {
                    self.room_input(room, RoomInput::Unplaced, cx);
                }
                Ok(Accepted::Created)
            }
            Intent::UpdateRoom { room, app, update } => {
                self.own_room(room, &app)?;
                self.room_input(room, RoomInput::Update(*update), cx);
                Ok(Accepted::Updated)
            }
            Intent::Kick {
                session,
                room,
                member,
                app,
                command_uid,
            } => self.kick(session, room, member, (&app, command_uid), cx),
            Intent::Lock {
                room,
                app,
                lock,
                command_uid,
            } => self.lock(room, &app, lock, command_uid, cx),
            Intent::RecordStart {
                room,
                app,
                command_uid,
            } => self.record_start(room, &app, command_uid, cx),
            Intent::RecordStop {
                room,
                app,
                command_uid,
            } => self.record_stop(room, &app, command_uid, cx),
            Intent::DeleteRoom { room, app } => {
                self.own_room(room, &app)?;
                let deadline = cx.now + self.rules.patience.delete;
                self.room_input(room, RoomInput::Delete { deadline }, cx);
                Ok(Accepted::Deleted)
            }
            Intent::Join {
                session,
                room,
                app,
                muted,
                command_uid,
            } => self.join(session, room, &app, muted, command_uid, cx),
            Intent::Leave {
                session,
                app,
                command_uid,
            } => {
                let room = self.joined(session, &app)?;
                self.leave(session, room, command_uid, cx);
                Ok(Accepted::Leaving { room })
            }
            Intent::Mute {
                session,
                app,
                mute,
                command_uid,
            } => {
                let room = self.joined(session, &app)?;
                let speaks = self
                    .room(room)
                    .and_then(|r| r.members().get(&session))
                    .is_some_and(|m| m.flags.speak);
                match (mute, speaks) {
                    (true, false) => return Err(Refusal::AlreadyMuted),
                    (false, true) => return Err(Refusal::AlreadyUnmuted),
                    (true, true) | (false, false) => {}
                }
                self.room_input(
                    room,
                    RoomInput::Mute {
                        session,
                        mute,
                        command_uid,
                        deadline: cx.now + self.rules.patience.mute,
                    },
                    cx,
                );
                Ok(if mute {
                    Accepted::Muted { room }
                } else {
                    Accepted::Unmuted { room }
                })
            }
            Intent::Play {
                room,
                app,
                urls,
                command_uid,
            } => self.play(room, &app, urls, command_uid, cx),
            Intent::Pause {
                room,
                app,
                command_uid,
            } => self.pause(room, &app, command_uid, cx),
            Intent::Stop {
                room,
                app,
                command_uid,
            } => self.stop(room, &app, command_uid, cx),
            Intent::Volume {
                room,
                app,
                volume,
                command_uid,
            } => self.volume(room, &app, volume, command_uid, cx),
            Intent::Answer { session, app } => {
                let call = self.own_session(session, &app)?;
                if call.answered_at().is_some() {
                    return Err(Refusal::AlreadyAnswered);
                }
                cx.out.orders.push(Order::Answer { session });
                Ok(Accepted::InProgress {
                    operation: OperationId::new(cx.ids.uuid()),
                })
            }
            Intent::Hangup {
                session,
                app,
                cause,
            } => {
                self.own_session(session, &app)?;
                cx.out.orders.push(Order::Hangup { session, cause });
                Ok(Accepted::InProgress {
                    operation: OperationId::new(cx.ids.uuid()),
                })
            }
        }
    }

    pub(super) fn join(
        &mut self,
        session: SessionId,
        room: RoomId,
        app: &AppId,
        muted: Option<bool>,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        let call = self
            .session(session)
            .filter(|s| !s.is_over())
            .ok_or(Refusal::SessionNotFound)?;
        if room.node() != session.node() {
            // Whether that room exists and whose it is, is for the caller to look up: it is not in this belief.
            if call.app() != app {
                return Err(Refusal::ForeignSession);
            }
            return Err(Refusal::OtherNode {
                session_node: session.node(),
                room_node: room.node(),
            });
        }
        let target = self
            .room(room)
            .filter(|r| r.is_open())
            .and_then(|r| r.registration())
            .ok_or(Refusal::RoomNotFound)?;
        if call.app() != app {
            return Err(Refusal::ForeignSession);
        }
        if target.app != *app {
            return Err(Refusal::ForeignRoom);
        }
        match call.place() {
            // What it does after it has left the last one ends here.
            Place::Ringing | Place::Parked | Place::Acting(None) => {}
            Place::Acting(Some(current)) | Place::Joining(current) | Place::InRoom(current)
                if *current != room =>
            {
                return Err(Refusal::InOtherRoom { room: *current });
            }
            Place::Acting(Some(_)) | Place::Joining(_) | Place::InRoom(_) => {
                let member = self.room(room).and_then(|r| r.members().get(&session));
                let member = member.map(|m| m.id).ok_or(Refusal::StillLeaving)?;
                return Ok(if matches!(call.place(), Place::InRoom(_)) {
                    Accepted::AlreadyJoined { room, member }
                } else {
                    Accepted::Joining { room, member }
                });
            }
            Place::Leaving(_) => return Err(Refusal::StillLeaving),
            Place::Ended => return Err(Refusal::SessionNotFound),
        }
        if self.is_locked(room) {
            return Err(Refusal::RoomLocked);
        }
        if self.room(room).is_some_and(RoomState::is_full) {
            return Err(Refusal::RoomFull);
        }
        let member = MemberId::fresh(room.node(), cx.ids.uuid());
        let run = self.run_before(call, room, &target.details.pre_actions, cx);
        let first = run.as_ref().map(Run::longest).unwrap_or_default();
        let input = RoomInput::Join {
            session,
            member,
            caller_id: call.caller_id().to_string(),
            did: call.did().to_string(),
            muted: muted.unwrap_or(target.origin == Origin::Gateway),
            acts: run.is_some(),
            command_uid,
            deadline: cx.now + first + self.rules.patience.join,
        };
        let going = match run {
            Some(run) => SessionInput::Acting { run },
            None => SessionInput::Joining { room },
        };
        // Whoever can be told to go in there finds it placed.
        self.room_input(room, RoomInput::Placed, cx);
        self.session_input(session, going, cx);
        self.room_input(room, input, cx);
        Ok(Accepted::Joining { room, member })
    }

    fn leave(
        &mut self,
        session: SessionId,
        room: RoomId,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) {
        self.session_input(session, SessionInput::Leaving, cx);
        self.room_input(
            room,
            RoomInput::Leave {
                session,
                command_uid,
                deadline: cx.now + self.rules.patience.leave,
            },
            cx,
        );
    }

    /// Takes a call out of a room, also one that has not come in yet.
    fn kick(
        &mut self,
        session: SessionId,
        room: RoomId,
        member: Option<MemberId>,
        (app, command_uid): (&AppId, Option<CommandUid>),
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        let state = self.room(room).ok_or(Refusal::RoomNotFound)?;
        let registration = state.registration().ok_or(Refusal::RoomNotFound)?;
        if member.is_none() && !state.is_open() {
            return Err(Refusal::RoomNotFound);
        }
        if registration.app != *app {
            return Err(Refusal::ForeignRoom);
        }
        // One that is over, or another stay of the same call.
        let meant = |m: &&Member| member.is_none_or(|member| m.id == member);
        let stay = state.members().get(&session).filter(meant);
        match stay.map(|m| &m.status) {
            None => return Err(Refusal::NotInRoom),
            Some(MemberStatus::Joining { .. }) => {
                self.room_input(room, RoomInput::Cancel { session }, cx);
            }
            Some(MemberStatus::Joined) => self.leave(session, room, command_uid, cx),
            Some(MemberStatus::Leaving { .. }) => {}
        }
        Ok(Accepted::Leaving { room })
    }

    pub(super) fn own_session(
        &self,
        session: SessionId,
        app: &AppId,
    ) -> Result<&SessionState, Refusal> {
        let call = self
            .session(session)
            .filter(|s| !s.is_over())
            .ok_or(Refusal::SessionNotFound)?;
        if call.app() == app {
            Ok(call)
        } else {
            Err(Refusal::ForeignSession)
        }
    }

    pub(super) fn own_room(&self, room: RoomId, app: &AppId) -> Result<&Registration, Refusal> {
        let registration = self
            .room(room)
            .filter(|r| r.is_open())
            .and_then(RoomState::registration)
            .ok_or(Refusal::RoomNotFound)?;
        if registration.app == *app {
            Ok(registration)
        } else {
            Err(Refusal::ForeignRoom)
        }
    }

    /// The room a call is in, as a member that can be told to do something.
    pub(super) fn joined(&self, session: SessionId, app: &AppId) -> Result<RoomId, Refusal> {
        let room = self
            .own_session(session, app)?
            .place()
            .room()
            .ok_or(Refusal::NotInRoom)?;
        let member = self
            .room(room)
            .filter(|r| r.registration().is_some())
            .and_then(|r| r.members().get(&session))
            .ok_or(Refusal::NotInRoom)?;
        match member.status {
            MemberStatus::Joining { .. } => Err(Refusal::StillJoining),
            MemberStatus::Joined => Ok(room),
            MemberStatus::Leaving { .. } => Err(Refusal::StillLeaving),
        }
    }

    /// FreeSWITCH refused an order: the state says so.
    pub fn refused(&mut self, order: &Order, error: &CommandError, cx: &mut Cx<'_>) {
        match order {
            Order::Play { room, command } => return self.play_refused(*room, command, error, cx),
            Order::Enter { session, room, .. } => self.room_input(
                *room,
                RoomInput::NotEntered {
                    session: *session,
                    reason: JoinFailure::Refused,
                },
                cx,
            ),
            Order::Park { session, room, .. } => {
                self.room_input(*room, RoomInput::LeaveRefused { session: *session }, cx);
                self.not_parked(*session, cx);
            }
            Order::Break { session, .. } => self.not_parked(*session, cx),
            Order::Mute {
                session,
                room,
                mute,
            } => self.room_input(
                *room,
                RoomInput::MuteRefused {
                    session: *session,
                    mute: *mute,
                },
                cx,
            ),
            Order::Lock { room, lock } => self.lock_refused(*room, *lock, error, cx),
            Order::RecordStart {
                room, recording, ..
            } => {
                let id = *recording;
                self.room_input(
                    *room,
                    RoomInput::Record(RecordInput::StartRefused { id }),
                    cx,
                );
            }
            Order::RecordStop {
                room, recording, ..
            } => {
                let id = *recording;
                self.room_input(
                    *room,
                    RoomInput::Record(RecordInput::StopRefused { id }),
                    cx,
                );
            }
            Order::Step { session, id, .. } => {
                // A node that is back is asked how far the call is.
                if !matches!(error, CommandError::Down { .. }) {
                    let refused = SessionInput::StepRefused { step: *id };
                    self.session_input(*session, refused, cx);
                }
            }
            // A call that is gone already needs nothing. The plan of its first transfer sets the same.
            Order::Prepare { .. } => return,
            Order::Describe { .. } | Order::Answer { .. } | Order::Hangup { .. } => {}
        }
        if *error == CommandError::NoSuchChannel {
            cx.out.resync = Some("FreeSWITCH does not know a call");
        }
    }

    /// That it is parked may never be told.
    fn not_parked(&self, session: SessionId, cx: &mut Cx<'_>) {
        let call = self.session(session);
        if call.is_some_and(|call| call.parking().is_some()) {
            cx.out.resync = Some("a call may not have been parked");
        }
    }

    /// Time has passed for a room.
    pub fn deadline(&mut self, entity: EntityId, cx: &mut Cx<'_>) {
        match entity {
            EntityId::Room(id) => {
                if self.rooms.contains_key(&id) {
                    self.room_input(id, RoomInput::Deadline, cx);
                }
            }
            EntityId::Session(id) => self.session_input(id, SessionInput::Deadline, cx),
        }
    }
}
