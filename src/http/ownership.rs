//! Existence and ownership checks of rooms and calls for reads, and the access to the controller for changes.

use axum::http::StatusCode;

use crate::node::CommandError;
use crate::reconciler::{
    Accepted, Controller, Decision, Depth, Intent, IntentError, Link, NodeReport, Refusal,
};
use crate::store::call::decode_call_state;
use crate::store::room::{RoomHead, decode_room_head};
use crate::store::{EntityId, Store, StoreError, keys, unreadable};
use roomkeeper_core::call::CallState;
use roomkeeper_core::ids::{AppId, CallId, NodeId, RoomId};
use roomkeeper_core::intent::TypedAction;

use super::auth::Caller;
use super::error::ApiError;
use super::state::ApiState;

/// Reads a room's head; `None` if the room is closed or does not exist.
pub(crate) async fn open_room(
    store: &dyn Store,
    id: RoomId,
) -> Result<Option<RoomHead>, StoreError> {
    let record = store.read_head(EntityId::Room(id)).await?;
    let head = record.map(|r| decode_room_head(id, &r)).transpose()?;
    unreadable::clear(|| keys::entity(EntityId::Room(id)));
    Ok(head.filter(|head| head.is_open()))
}

/// Reads a call; `None` if it is over or does not exist.
pub(crate) async fn live_call(
    store: &dyn Store,
    id: CallId,
) -> Result<Option<CallState>, StoreError> {
    let record = store.read_head(EntityId::Call(id)).await?;
    let call = record.map(|r| decode_call_state(id, &r)).transpose()?;
    unreadable::clear(|| keys::entity(EntityId::Call(id)));
    Ok(call.filter(|call| !call.is_over()))
}

impl ApiState {
    pub(crate) fn refuse(&self, refusal: &Refusal) -> ApiError {
        ApiError::refused(refusal, self.settings.hide_foreign)
    }

    /// Reads a room's head; `None` if the room is closed or does not exist.
    pub(crate) async fn open_room(&self, id: RoomId) -> Result<Option<RoomHead>, StoreError> {
        open_room(&*self.store, id).await
    }

    /// Reads a call; `None` if it is over or does not exist.
    pub(crate) async fn live_session(&self, id: CallId) -> Result<Option<CallState>, StoreError> {
        live_call(&*self.store, id).await
    }

    /// Reads an open room, or returns 404.
    pub(crate) async fn find_room(&self, id: RoomId) -> Result<RoomHead, ApiError> {
        self.open_room(id)
            .await?
            .ok_or_else(|| self.refuse(&Refusal::RoomNotFound))
    }

    /// Reads a live call, or returns 404.
    pub(crate) async fn find_session(&self, id: CallId) -> Result<CallState, ApiError> {
        self.live_session(id)
            .await?
            .ok_or_else(|| self.refuse(&Refusal::CallNotFound))
    }

    /// Checks that the caller owns the room, or returns 403.
    pub(crate) fn own_room(&self, caller: &Caller, room: &RoomHead) -> Result<(), ApiError> {
        self.check_owner(caller, &room.registration.app, &Refusal::ForeignRoom)
    }

    /// Checks that the caller owns the call, or returns 403.
    pub(crate) fn own_session(&self, caller: &Caller, call: &CallState) -> Result<(), ApiError> {
        self.check_owner(caller, call.app(), &Refusal::ForeignCall)
    }

    fn check_owner(
        &self,
        caller: &Caller,
        app: &AppId,
        otherwise: &Refusal,
    ) -> Result<(), ApiError> {
        if *app == caller.app {
            Ok(())
        } else {
            Err(self.refuse(otherwise))
        }
    }

    /// The error for another app's object: 403, or 404 with `hide_foreign`.
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

    /// Converts the error of an intent for this node, which the error names if it is down.
    pub(crate) fn failed_on(&self, node: NodeId, error: IntentError) -> ApiError {
        match error {
            IntentError::Command(CommandError::Down { retry_after }) => {
                ApiError::unavailable(format!("node {node} is down"), retry_after)
            }
            error => self.failed(error),
        }
    }

    /// True if the state of this node's rooms and calls may be out of date, because no replica is connected to it.
    pub(crate) fn stale(&self, node: NodeId) -> bool {
        !matches!(self.controller.link(node), Some(Link::Up))
    }

    /// Checks an intent against the controller's state.
    pub(crate) async fn check(&self, intent: &Intent, depth: Depth) -> Result<Decision, ApiError> {
        let decision = self.controller.check(intent, depth).await;
        decision.map_err(|error| self.failed(error))
    }

    /// Submits an intent with this action to the controller.
    pub(crate) async fn submit<A: TypedAction>(
        &self,
        intent: Intent,
    ) -> Result<A::Accepted, ApiError> {
        let accepted = self.controller.submit(intent).await;
        typed::<A>(accepted.map_err(|error| self.failed(error))?)
    }
}

/// Converts the result of an intent to the result type of its action.
pub(crate) fn typed<A: TypedAction>(accepted: Accepted) -> Result<A::Accepted, ApiError> {
    let why = || ApiError::internal(&"the controller returned the result of another action");
    A::accepted(accepted).ok_or_else(why)
}

/// The state of all nodes at the time of a read. For a single node use [`ApiState::stale`].
pub(crate) struct Nodes(Vec<NodeReport>);

impl Nodes {
    pub(crate) fn now(state: &ApiState) -> Self {
        Self::of(&*state.controller)
    }

    pub(crate) fn of(controller: &dyn Controller) -> Self {
        Self(controller.nodes())
    }

    /// Only this node; `None` if it is not configured.
    pub(crate) fn only(mut self, id: NodeId) -> Option<Self> {
        self.0.retain(|node| node.id == id);
        (!self.0.is_empty()).then_some(self)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &NodeReport> {
        self.0.iter()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&NodeReport> {
        self.iter().find(|node| node.id == id)
    }

    /// True if the state of this node's rooms and calls may be out of date, because no replica is connected to it.
    pub(crate) fn stale(&self, id: NodeId) -> bool {
        !self
            .get(id)
            .is_some_and(|node| matches!(node.link, Link::Up))
    }
}
