//! The gateway API, `/api/v1`.
//!
//! Owns its routes, handlers and wire types, which are apart from the domain's so that either can change alone.

mod asked;
mod commands;
mod create;
mod docs;
mod moderation;
mod nodes;
mod playback;
mod recording;
mod rooms;
mod sessions;

use axum::Router;
use axum::routing::{get, post};

use super::{Shared, events};

pub(crate) use create::release;
pub(crate) use docs::{Failure, Paths, RoomIdText, SessionIdText, limit};

/// Each with its whole path: below a prefix of all, axum would write each request's path anew.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/conferences", get(rooms::list).post(rooms::create))
        .route(
            "/api/v1/conferences/{room_id}",
            get(rooms::get).delete(rooms::delete),
        )
        .route("/api/v1/conferences/{room_id}/members", get(rooms::members))
        .route("/api/v1/conferences/{room_id}/play", post(playback::play))
        .route("/api/v1/conferences/{room_id}/pause", post(playback::pause))
        .route("/api/v1/conferences/{room_id}/stop", post(playback::stop))
        .route(
            "/api/v1/conferences/{room_id}/volume",
            post(playback::volume),
        )
        .route(
            "/api/v1/conferences/{room_id}/recording/start",
            post(recording::start),
        )
        .route(
            "/api/v1/conferences/{room_id}/recording/stop",
            post(recording::stop),
        )
        .route("/api/v1/conferences/{room_id}/lock", post(moderation::lock))
        .route(
            "/api/v1/conferences/{room_id}/unlock",
            post(moderation::unlock),
        )
        .route(
            "/api/v1/conferences/{room_id}/members/{uuid}/kick",
            post(moderation::kick),
        )
        .route("/api/v1/nodes", get(nodes::list))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/sessions", get(sessions::list))
        .route("/api/v1/sessions/{uuid}", get(sessions::get))
        .route(
            "/api/v1/sessions/{uuid}/commands/conference/join",
            post(commands::join),
        )
        .route(
            "/api/v1/sessions/{uuid}/commands/conference/leave",
            post(commands::leave),
        )
        .route(
            "/api/v1/sessions/{uuid}/commands/conference/mute",
            post(commands::mute),
        )
        .route(
            "/api/v1/sessions/{uuid}/commands/conference/unmute",
            post(commands::unmute),
        )
        .route(
            "/api/v1/sessions/{uuid}/commands/answer",
            post(commands::answer),
        )
        .route(
            "/api/v1/sessions/{uuid}/commands/hangup",
            post(commands::hangup),
        )
}
