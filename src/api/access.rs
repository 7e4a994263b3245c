//! Existence, then ownership: whether what a request names is there, and is the caller's.

use axum::http::StatusCode;
use futures_util::future::BoxFuture;

use crate::ids::{AppId, NodeId, RoomId, SessionId};
use crate::reconciler::{Accepted, Intent, IntentError, Link, NodeReport, Refusal};
use crate::room::Member;
use crate::session::{Place, SessionState};
use crate::store::record::{RoomHead, decode_room, decode_room_head, decode_session};
use crate::store::{EntityId, StoreError, keys, unreadable};

use super::ApiState;
use super::auth::Caller;
use super::error::ApiError;

/// What looks up in the store that all that a command names is there and is the caller's: 404 or 403 where it is not.
pub(crate) struct LookUp {
    /// `None`: it is done.
    work: Option<BoxFuture<'static, Result<(), ApiError>>>,
    vouched: bool,
}

impl LookUp {
    /// This does it, where it is needed.
    pub(crate) fn by(work: impl Future<Output = Result<(), ApiError>> + Send + 'static) -> Self {
        Self {
            work: Some(Box::pin(work)),
            vouched: false,
        }
    }

    /// It has been done.
    pub(crate) const fn done() -> Self {
        Self {
            work: None,
            vouched: false,
        }
    }

    const fn is_done(&self) -> bool {
        self.work.is_none()
    }

    /// Does it, if it has not been done.
    pub(crate) async fn finish(&mut self) -> Result<(), ApiError> {
        match self.work.take() {
            Some(work) => work.await,
            None => Ok(()),
        }
    }

    /// Does it, unless the controller knows already what would come of it. What is then done in the caller's name is only
    /// what can be taken back, and nothing is answered until it is done, or the controller has taken the intent.
    pub(crate) async fn done_or_vouched(
        &mut self,
        state: &ApiState,
        intent: &Intent,
    ) -> Result<(), ApiError> {
        if self.is_done() || self.vouched {
            return Ok(());
        }
        self.vouched = state.controller.vouches_for(intent).await;
        match self.vouched {
            true => Ok(()),
            false => self.finish().await,
        }
    }
}

impl ApiState {
    pub(crate) fn refuse(&self, refusal: &Refusal) -> ApiError {
        ApiError::refused(refusal, self.settings.hide_foreign)
    }

    /// The room as far as its head tells, if callers can still see it.
    pub(crate) async fn open_room(&self, id: RoomId) -> Result<Option<RoomHead>, StoreError> {
        let record = self.store.read_head(EntityId::Room(id)).await?;
        let head = record.map(|r| decode_room_head(id, &r)).transpose()?;
        unreadable::clear(|| keys::entity(EntityId::Room(id)));
        Ok(head.filter(|head| head.is_open()))
    }

    /// The call, if it is not over.
    pub(crate) async fn live_session(
        &self,
        id: SessionId,
    ) -> Result<Option<SessionState>, StoreError> {
        let record = self.store.read_head(EntityId::Session(id)).await?;
        let call = record.map(|r| decode_session(id, &r)).transpose()?;
        unreadable::clear(|| keys::entity(EntityId::Session(id)));
        Ok(call.filter(|call| !call.is_over()))
    }

    /// The room, or 404.
    pub(crate) async fn find_room(&self, id: RoomId) -> Result<RoomHead, ApiError> {
        self.open_room(id)
            .await?
            .ok_or_else(|| self.refuse(&Refusal::RoomNotFound))
    }

    /// The call, or 404.
    pub(crate) async fn find_session(&self, id: SessionId) -> Result<SessionState, ApiError> {
        self.live_session(id)
            .await?
            .ok_or_else(|| self.refuse(&Refusal::SessionNotFound))
    }

    /// The room is the caller's, or 403.
    pub(crate) fn own_room(&self, caller: &Caller, room: &RoomHead) -> Result<(), ApiError> {
        self.own(caller, &room.registration.app, &Refusal::ForeignRoom)
    }

    /// The call is the caller's, or 403.
    pub(crate) fn own_session(&self, caller: &Caller, call: &SessionState) -> Result<(), ApiError> {
        self.own(caller, call.app(), &Refusal::ForeignSession)
    }

    fn own(&self, caller: &Caller, app: &AppId, otherwise: &Refusal) -> Result<(), ApiError> {
        if *app == caller.app {
            Ok(())
        } else {
            Err(self.refuse(otherwise))
        }
    }

    /// What the state answers to this intent, if it can be told without asking the node's actor: for the order of checks
    /// only, when a command will not be carried out anyway. `None`: nothing stands against it.
    pub(crate) async fn answered_by_state(
        &self,
        intent: &Intent,
    ) -> Result<Option<Accepted>, ApiError> {
        let refused = |refusal: Refusal| Err(self.refuse(&refusal));
        let (session, mute) = match intent {
            Intent::Join { session, room, .. } => {
                if session.node() != room.node() {
                    return refused(Refusal::OtherNode {
                        session_node: session.node(),
                        room_node: room.node(),
                    });
                }
                return match self.find_session(*session).await?.place() {
                    Place::InRoom(current) if current == room => {
                        let member = self.stay(*room, *session).await?;
                        Ok(member.map(|member| Accepted::AlreadyJoined {
                            room: *room,
                            member: member.id,
                        }))
                    }
                    Place::Joining(current) | Place::Acting(Some(current)) if current == room => {
                        Ok(None)
                    }
                    Place::InRoom(current)
                    | Place::Joining(current)
                    | Place::Acting(Some(current)) => {
                        refused(Refusal::InOtherRoom { room: *current })
                    }
                    Place::Leaving(_) => refused(Refusal::StillLeaving),
                    Place::Ringing | Place::Parked | Place::Acting(None) => {
                        match self.find_room(*room).await?.locked {
                            true => refused(Refusal::RoomLocked),
                            false => Ok(None),
                        }
                    }
                    Place::Ended => refused(Refusal::SessionNotFound),
                };
            }
            Intent::Leave { session, .. } => (session, None),
            Intent::Mute { session, mute, .. } => (session, Some(*mute)),
            Intent::Play { room, .. } => {
                return match self.find_room(*room).await?.present {
                    0 => refused(Refusal::NoMembers),
                    _ => Ok(None),
                };
            }
            Intent::Pause { room, .. } => {
                return match self.find_room(*room).await?.playback.head() {
                    None => refused(Refusal::NothingPlaying),
                    Some(_) => Ok(None),
                };
            }
            // These have no cooldown: they are always asked of the actor.
            Intent::CreateRoom { .. }
            | Intent::UpdateRoom { .. }
            | Intent::DeleteRoom { .. }
            | Intent::Kick { .. }
            | Intent::Lock { .. }
            | Intent::RecordStart { .. }
            | Intent::RecordStop { .. }
            | Intent::Stop { .. }
            | Intent::Volume { .. }
            | Intent::Answer { .. }
            | Intent::Hangup { .. } => return Ok(None),
        };
        let room = match self.find_session(*session).await?.place() {
            Place::InRoom(room) => *room,
            Place::Joining(_) | Place::Acting(Some(_)) => return refused(Refusal::StillJoining),
            Place::Leaving(Some(_)) => return refused(Refusal::StillLeaving),
            Place::Leaving(None)
            | Place::Acting(None)
            | Place::Ringing
            | Place::Parked
            | Place::Ended => {
                return refused(Refusal::NotInRoom);
            }
        };
        let Some(mute) = mute else {
            return Ok(None);
        };
        let stay = self.stay(room, *session).await?;
        let speaks = stay.map(|member| member.flags.speak);
        match (mute, speaks) {
            (_, None) => refused(Refusal::NotInRoom),
            (true, Some(false)) => refused(Refusal::AlreadyMuted),
            (false, Some(true)) => refused(Refusal::AlreadyUnmuted),
            (true, Some(true)) | (false, Some(false)) => Ok(None),
        }
    }

    async fn stay(&self, room: RoomId, session: SessionId) -> Result<Option<Member>, ApiError> {
        let record = self.store.read(EntityId::Room(room)).await?;
        let room = record.map(|r| decode_room(room, &r)).transpose()?;
        Ok(room.and_then(|room| room.members().get(&session).cloned()))
    }

    /// What is another's: 403, or as though there were none.
    pub(crate) fn foreign(&self, what: &str) -> ApiError {
        if self.settings.hide_foreign {
            ApiError::new(StatusCode::NOT_FOUND, format!("{what} not found"))
        } else {
            let words = format!("the {what} belongs to a different application");
            ApiError::new(StatusCode::FORBIDDEN, words)
        }
    }

    pub(crate) fn failed(&self, error: IntentError) -> ApiError {
        ApiError::intent(error, self.settings.hide_foreign)
    }

    /// Whether what is told of this node's rooms and calls may be out of date, because nobody hears it.
    pub(crate) fn stale(&self, node: NodeId) -> bool {
        !matches!(self.controller.link(node), Some(Link::Up))
    }

    /// The one domain call, as [`Controller::submit_as_believed`] where that is enough. The outer error is the look-up's:
    /// then the controller was asked for nothing.
    ///
    /// [`Controller::submit_as_believed`]: crate::reconciler::Controller::submit_as_believed
    pub(crate) async fn submit_looked_up(
        &self,
        look_up: &mut LookUp,
        intent: Intent,
    ) -> Result<Result<Accepted, IntentError>, ApiError> {
        if !look_up.is_done() {
            if let Some(outcome) = self.controller.submit_as_believed(&intent).await {
                return Ok(outcome);
            }
            look_up.finish().await?;
        }
        Ok(self.controller.submit(intent).await)
    }

    /// The one domain call.
    pub(crate) async fn submit(&self, intent: Intent) -> Result<Accepted, ApiError> {
        self.controller
            .submit(intent)
            .await
            .map_err(|e| self.failed(e))
    }
}

/// How all nodes are, at the moment of a read; who wants to know of one asks [`ApiState::stale`].
pub(crate) struct Nodes(Vec<NodeReport>);

impl Nodes {
    pub(crate) fn now(state: &ApiState) -> Self {
        Self(state.controller.nodes())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &NodeReport> {
        self.0.iter()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&NodeReport> {
        self.iter().find(|node| node.id == id)
    }

    /// Whether what is told of this node's rooms and calls may be out of date, because nobody hears it.
    pub(crate) fn stale(&self, id: NodeId) -> bool {
        !self
            .get(id)
            .is_some_and(|node| matches!(node.link, Link::Up))
    }
}
