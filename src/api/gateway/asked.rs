//! What stands between ownership and the answer of every command: the replay of a `command_uid`, the group's cooldown,
//! the one domain call.
//!
//! Owns their order, once for the commands of calls and of rooms. Leaves out what a command asks for and how its answer
//! looks, which the handlers hand in.
//!
//! Whether what a command names is there and is the caller's, the controller can often vouch for, which saves the way to
//! the store ([`LookUp`]). What is answered without having asked the controller, a replay or a 429, comes after the look-up
//! as ever.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::api::access::LookUp;
use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::limits::{Group, to_the_end};
use crate::api::{ApiState, Shared, replay};
use crate::ids::{CommandUid, RoomId};
use crate::reconciler::{Accepted, Intent};
use crate::store::EntityId;
use crate::store::gate::{Command, CommandAnswer};

/// What of a request decides whether it is carried out.
pub(super) struct Asked {
    about: EntityId,
    /// Only a caller that knows the id can ask again with it; one that was made here is nobody's to repeat.
    named: Option<Command>,
    group: Option<&'static Group>,
}

impl Asked {
    pub(super) fn new(
        about: EntityId,
        route: &str,
        uid: Option<CommandUid>,
        fields: &Fields,
    ) -> Self {
        Self {
            about,
            named: uid.map(|uid| replay::command(about, uid, route, fields)),
            group: None,
        }
    }

    /// It shares a cooldown.
    pub(super) fn of(self, group: &'static Group) -> Self {
        Self {
            group: Some(group),
            ..self
        }
    }

    /// The replay of an earlier answer, or the command and its answer. `check` is what is looked at only when it is not a
    /// replay, because it may come to another end the second time.
    pub(super) async fn carried_out(
        self,
        state: &Shared,
        check: impl Future<Output = Result<(), ApiError>> + Send + 'static,
        mut look_up: LookUp,
        intent: Intent,
        render: fn(Accepted) -> Result<CommandAnswer, ApiError>,
    ) -> Result<Response, ApiError> {
        let state = Arc::clone(state);
        to_the_end(async move {
            if let Some(named) = &self.named {
                look_up.done_or_vouched(&state, &intent).await?;
                let begun = state.begin(named).await;
                if !matches!(begun, Ok(None)) {
                    look_up.finish().await?;
                }
                if let Some(answer) = begun? {
                    return replay::respond(answer);
                }
            }
            let carry_out = async {
                check.await?;
                render(self.submit(&state, look_up, intent).await?)
            };
            let outcome = carry_out.await;
            if let Some(named) = &self.named {
                state.end(named, &outcome).await;
            }
            replay::respond(outcome?)
        })
        .await
    }

    async fn submit(
        &self,
        state: &ApiState,
        mut look_up: LookUp,
        intent: Intent,
    ) -> Result<Accepted, ApiError> {
        match self.group {
            Some(group) => {
                state
                    .submit_cooled(group, self.about, look_up, intent)
                    .await
            }
            None => {
                let outcome = state.submit_looked_up(&mut look_up, intent).await?;
                outcome.map_err(|error| state.failed(error))
            }
        }
    }
}

/// Whether the room is the caller's: commands to it are for its owner.
pub(super) async fn own(state: &ApiState, caller: &Caller, room: RoomId) -> Result<(), ApiError> {
    let head = state.find_room(room).await?;
    state.own_room(caller, &head)
}

/// The caller's id of the command.
pub(super) fn given_uid(fields: &Fields) -> Result<Option<CommandUid>, ApiError> {
    fields.parsed("command_uid")
}

/// An answer in a form in which it can be repeated.
pub(super) fn answered(code: StatusCode, body: &impl Serialize) -> Result<CommandAnswer, ApiError> {
    Ok(CommandAnswer {
        status: code.as_u16(),
        body: serde_json::to_string(body).map_err(|e| ApiError::internal(&e))?,
    })
}
