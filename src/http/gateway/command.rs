//! The steps of every command, from the parsed request to the response.
//!
//! Handlers parse the request, build a [`Command`] and pass a function that renders its result. Every command runs the
//! same steps in the same order: existence and ownership, idempotency key, checks of the request, state, cooldown, the
//! command. The controller decides everything that depends on the state.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::cooldown::{Group, may_have_acted, run_detached};
use crate::http::error::ApiError;
use crate::http::idempotency;
use crate::http::ownership::typed;
use crate::http::state::{ApiState, Shared};
use crate::reconciler::{Accepted, Decision, Depth, Intent};
use crate::store::limits::{self, StoredAnswer};
use roomkeeper_core::entity::Target;
use roomkeeper_core::intent::TypedAction;

/// A command of a caller, ready to run.
pub(super) struct Command<A> {
    intent: Intent,
    /// The caller's idempotency key. Only a caller who knows the key can repeat the command.
    key: Option<limits::IdempotentCommand>,
    group: Option<&'static Group>,
    request_check: Option<BoxFuture<'static, Result<(), ApiError>>>,
    action: PhantomData<A>,
}

impl<A: TypedAction> Command<A> {
    /// Creates a command with the body's `command_uid`, if there is one. `route` and the fields distinguish it from
    /// another command with the same id.
    pub(super) fn new(
        caller: Caller,
        target: Target,
        action: A,
        route: &str,
        fields: &Fields,
    ) -> Result<Self, ApiError> {
        let command_uid = fields.parsed("command_uid")?;
        let key = |uid| idempotency::command(target.entity(), uid, route, fields);
        Ok(Self {
            key: command_uid.clone().map(key),
            intent: Intent::new(target, caller.app, action).with_uid(command_uid),
            group: None,
            request_check: None,
            action: PhantomData,
        })
    }

    /// Generates an id for the command's webhook if the caller sent none.
    pub(super) fn with_fresh_uid(mut self, state: &ApiState) -> Result<Self, ApiError> {
        if self.intent.command_uid.is_none() {
            let fresh = (state.new_id)().to_string();
            let fresh = fresh.parse().map_err(|e| ApiError::internal(&e))?;
            self.intent.command_uid = Some(fresh);
        }
        Ok(self)
    }

    /// Puts the command into a cooldown group.
    pub(super) fn in_group(mut self, group: &'static Group) -> Self {
        self.group = Some(group);
        self
    }

    /// Adds a check of the request that is slow or can change: it runs after ownership, and not for a repeated command.
    pub(super) fn checked_by(
        mut self,
        check: impl Future<Output = Result<(), ApiError>> + Send + 'static,
    ) -> Self {
        self.request_check = Some(Box::pin(check));
        self
    }

    /// Runs the command to completion, even if the client disconnects.
    pub(super) async fn run(
        self,
        state: &Shared,
        render: fn(A::Accepted) -> Result<StoredAnswer, ApiError>,
    ) -> Result<Response, ApiError> {
        let state = Arc::clone(state);
        run_detached(async move { self.run_once(&state, render).await }).await
    }

    async fn run_once(
        self,
        state: &ApiState,
        render: fn(A::Accepted) -> Result<StoredAnswer, ApiError>,
    ) -> Result<Response, ApiError> {
        if self.key.is_some() || self.request_check.is_some() {
            state.check(&self.intent, Depth::Ownership).await?;
        }
        let key = self.key.clone();
        if let Some(key) = &key
            && let Some(answer) = state.begin(key).await?
        {
            return idempotency::respond(answer);
        }
        let outcome = self.act(state).await;
        let outcome = outcome.and_then(|accepted| render(typed::<A>(accepted)?));
        if let Some(key) = &key {
            state.end(key, &outcome).await;
        }
        idempotency::respond(outcome?)
    }

    async fn act(self, state: &ApiState) -> Result<Accepted, ApiError> {
        if let Some(check) = self.request_check {
            check.await?;
        }
        let node = self.intent.target.entity().node();
        let Some(group) = self.group.filter(|_| state.settings.limits.cooldowns) else {
            let accepted = state.controller.submit(self.intent).await;
            return accepted.map_err(|error| state.failed_on(node, error));
        };
        if let Decision::NoChange(accepted) = state.check(&self.intent, Depth::State).await? {
            return Ok(accepted);
        }
        let about = self.intent.target.entity();
        let cooldown = state.take_cooldown(group, about).await?;
        let outcome = state.controller.submit(self.intent).await;
        let costs = match &outcome {
            Ok(accepted) => accepted.acted(),
            Err(error) => may_have_acted(error),
        };
        if !costs {
            state.refund_cooldown(cooldown).await;
        }
        outcome.map_err(|error| state.failed_on(node, error))
    }
}

/// A response that can be repeated.
pub(super) fn answered(code: StatusCode, body: &impl Serialize) -> Result<StoredAnswer, ApiError> {
    Ok(StoredAnswer {
        status: code.as_u16(),
        body: serde_json::to_string(body).map_err(|e| ApiError::internal(&e))?,
    })
}

/// 202 with this body.
pub(super) fn accepted(body: &impl Serialize) -> Result<StoredAnswer, ApiError> {
    answered(StatusCode::ACCEPTED, body)
}
