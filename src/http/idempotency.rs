//! Idempotent commands: a command with an idempotency key is executed once, and repeated requests get the same
//! response.
//!
//! Owns the choice of repeated responses and their lifetime. The store holds them, so that any replica can repeat them.
//!
//! The first request with a `command_uid` on a call or a room executes the command. The same request during the
//! execution waits briefly for the response and then gets 409 with `Retry-After`; within [`KEEP`] of the response it
//! gets that response. A different request with the same key gets 409.
//!
//! Responses are repeated if the command acted or may have: every success, and 504. All others had no effect, and the
//! caller may retry, so they are forgotten: 404, 409, 429, 502, 503. If the program dies before the response, the key
//! is forgotten after [`command_hold`](super::state::ApiSettings::command_hold).

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

use crate::store::limits::{CommandStart, IdempotentCommand, StoredAnswer};
use crate::store::{EntityId, EntityKind};
use crate::telemetry::Chain;
use roomkeeper_core::ids::CommandUid;

use super::body::Fields;
use super::error::ApiError;
use super::state::ApiState;

/// The time for which a response is repeated, as documented.
pub const KEEP: Duration = Duration::from_secs(60);

/// `Retry-After` while another request with the same key is running.
const SOON: Duration = Duration::from_secs(1);

/// The key and fingerprint of a command. `route` and `fields` identify the request; the order of fields, white space
/// and null fields make no difference.
pub(crate) fn command(
    about: EntityId,
    uid: CommandUid,
    route: &str,
    fields: &Fields,
) -> IdempotentCommand {
    let mut hash = Sha256::new_with_prefix(route);
    hash.update("\n");
    hash.update(fields.canonical());
    IdempotentCommand {
        about,
        uid,
        fingerprint: BASE64_STANDARD_NO_PAD.encode(hash.finalize()),
        token: Uuid::new_v4(),
    }
}

impl ApiState {
    /// Starts a command. `None`: this request must execute it; otherwise the response to repeat.
    pub(crate) async fn begin(
        &self,
        command: &IdempotentCommand,
    ) -> Result<Option<StoredAnswer>, ApiError> {
        let give_up = Instant::now() + self.settings.command_wait;
        let mut pause = Duration::from_millis(10);
        loop {
            let hold = self.settings.command_hold;
            match self.store.begin_command(command, hold).await? {
                CommandStart::First => return Ok(None),
                CommandStart::Replay(answer) => return Ok(Some(answer)),
                CommandStart::Different => {
                    let on = match command.about.kind() {
                        EntityKind::Call => "session",
                        EntityKind::Room => "conference",
                    };
                    return Err(ApiError::new(
                        StatusCode::CONFLICT,
                        format!("command_uid: it belongs to another command on this {on}"),
                    )
                    .detail(serde_json::json!({ "field": "command_uid" })));
                }
                CommandStart::Pending => {}
            }
            if Instant::now() + pause > give_up {
                return Err(ApiError::new(
                    StatusCode::CONFLICT,
                    "the command with this command_uid is still running",
                )
                .retry_after(SOON));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Stores the response of a command, or forgets the command.
    pub(crate) async fn end(
        &self,
        command: &IdempotentCommand,
        outcome: &Result<StoredAnswer, ApiError>,
    ) {
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
                "cannot store the response of a command; a repeated request will be refused first and then execute it again"
            );
        }
    }
}

/// Converts a stored response to an HTTP response.
pub(crate) fn respond(answer: StoredAnswer) -> Result<Response, ApiError> {
    let status = StatusCode::from_u16(answer.status).map_err(|e| ApiError::internal(&e))?;
    let json = HeaderValue::from_static("application/json");
    Ok((status, [(CONTENT_TYPE, json)], Body::from(answer.body)).into_response())
}
