//! Commands that their callers gave an id: carried out once, and answered the same when asked again.
//!
//! Owns which answers are repeated and for how long. Leaves out where they are held, which is the store, so that it does
//! not matter which replica is asked again.
//!
//! The first request with a `command_uid` on a call or a room carries the command out. One that asks for the same while it is
//! still under way waits for its answer for a short while and is then 409 with `Retry-After`; one that comes within
//! [`KEEP`] of the answer gets that answer; one that asks for something else under the same id is 409.
//!
//! Repeated are the answers of commands that acted or may have: every success, and 504. Everything else left nothing
//! behind, and its caller may want to try again once the reason is gone, so it is forgotten: 404, 409, 429, 502, 503. A
//! request that is never answered, because the program died, is forgotten after
//! [`command_hold`](super::ApiSettings::command_hold).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::ids::CommandUid;
use crate::store::gate::{Command, CommandAnswer, CommandStart};
use crate::store::{EntityId, EntityKind};
use crate::telemetry::Chain;

use super::ApiState;
use super::body::Fields;
use super::error::ApiError;

/// How long an answer is repeated, as documented.
pub const KEEP: Duration = Duration::from_secs(60);

/// What a request is told to wait when another with its id is still under way.
const SOON: Duration = Duration::from_secs(1);

/// A command that was given this id. `route` and `fields` are what a request asks for: the order of fields, spaces and
/// fields that are null make no difference.
pub(crate) fn command(about: EntityId, uid: CommandUid, route: &str, fields: &Fields) -> Command {
    let mut hash = Sha256::new_with_prefix(route);
    hash.update("\n");
    hash.update(fields.canonical());
    Command {
        about,
        uid,
        fingerprint: BASE64_STANDARD_NO_PAD.encode(hash.finalize()),
        token: Uuid::new_v4(),
    }
}

impl ApiState {
    /// `None`: this request carries the command out. Else it is answered already.
    pub(crate) async fn begin(&self, command: &Command) -> Result<Option<CommandAnswer>, ApiError> {
        let give_up = Instant::now() + self.settings.command_wait;
        let mut pause = Duration::from_millis(10);
        loop {
            let hold = self.settings.command_hold;
            match self.store.begin_command(command, hold).await? {
                CommandStart::First => return Ok(None),
                CommandStart::Replay(answer) => return Ok(Some(answer)),
                CommandStart::Different => {
                    let on = match command.about.kind() {
                        EntityKind::Session => "session",
                        EntityKind::Room => "conference",
                    };
                    return Err(ApiError::new(
                        StatusCode::CONFLICT,
                        format!("command_uid: it was given to another command on this {on}"),
                    )
                    .detail(serde_json::json!({ "field": "command_uid" })));
                }
                CommandStart::Pending => {}
            }
            if Instant::now() + pause > give_up {
                return Err(ApiError::new(
                    StatusCode::CONFLICT,
                    "the command of this command_uid is still under way",
                )
                .retry_after(SOON));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Notes what came of a command, or forgets it.
    pub(crate) async fn end(&self, command: &Command, outcome: &Result<CommandAnswer, ApiError>) {
        let kept = match outcome {
            Ok(answer) => Some(answer.clone()),
            Err(error) if error.status() == StatusCode::GATEWAY_TIMEOUT => Some(error.answer()),
            Err(_) => None,
        };
        let noted = match &kept {
            Some(answer) => self
                .store
                .finish_command(command, answer, KEEP)
                .await
                .map(drop),
            None => self.store.forget_command(command).await,
        };
        if let Err(error) = noted {
            tracing::warn!(
                error = %Chain(&error),
                about = %command.about,
                "what came of a command could not be noted; asked again, it is first refused and then carried out anew"
            );
        }
    }
}

/// An answer as it is sent, the first time and again.
pub(crate) fn respond(answer: CommandAnswer) -> Result<Response, ApiError> {
    let status = StatusCode::from_u16(answer.status).map_err(|e| ApiError::internal(&e))?;
    let json = HeaderValue::from_static("application/json");
    Ok((status, [(CONTENT_TYPE, json)], Body::from(answer.body)).into_response())
}
