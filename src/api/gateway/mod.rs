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

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/conferences", get(rooms::list).post(rooms::create))
        .route(
            "/conferences/{room_id}",
            get(rooms::get).delete(rooms::delete),
        )
        .route("/conferences/{room_id}/members", get(rooms::members))
        .route("/conferences/{room_id}/play", post(playback::play))
        .route("/conferences/{room_id}/pause", post(playback::pause))
        .route("/conferences/{room_id}/stop", post(playback::stop))
        .route("/conferences/{room_id}/volume", post(playback::volume))
        .route(
            "/conferences/{room_id}/recording/start",
            post(recording::start),
        )
        .route(
            "/conferences/{room_id}/recording/stop",
            post(recording::stop),
        )
        .route("/conferences/{room_id}/lock", post(moderation::lock))
        .route("/conferences/{room_id}/unlock", post(moderation::unlock))
        .route(
            "/conferences/{room_id}/members/{uuid}/kick",
            post(moderation::kick),
        )
        .route("/nodes", get(nodes::list))
        .route("/events", get(events::events))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{uuid}", get(sessions::get))
        .nest(
            "/sessions/{uuid}/commands",
            Router::new()
                .route("/conference/join", post(commands::join))
                .route("/conference/leave", post(commands::leave))
                .route("/conference/mute", post(commands::mute))
                .route("/conference/unmute", post(commands::unmute))
                .route("/answer", post(commands::answer))
                .route("/hangup", post(commands::hangup)),
        )
}
