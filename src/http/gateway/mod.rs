//! The gateway API, `/api/v1`.
//!
//! Owns its routes, handlers and wire types. The wire types are separate from the domain types, so that each can change
//! alone. Each module lists its routes, and the attribute above a handler is its part of the OpenAPI document.

mod bulk;
mod calls;
mod coaching;
mod command;
mod commands;
mod create;
mod keypad;
mod member_audio;
mod member_query;
mod moderation;
mod moves;
mod nodes;
mod playback;
mod recording;
mod rooms;
mod say;
mod sessions;
mod settings;
mod transfer;

use utoipa_axum::router::OpenApiRouter;

use super::state::Shared;

pub(crate) use commands::checked_cause;
pub(crate) use create::release;

/// Each route has its whole path: below a common prefix, axum would rewrite the path of each request.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(rooms::routes())
        .merge(settings::routes())
        .merge(bulk::routes())
        .merge(moderation::routes())
        .merge(member_audio::routes())
        .merge(moves::routes())
        .merge(playback::routes())
        .merge(say::routes())
        .merge(recording::routes())
        .merge(coaching::routes())
        .merge(calls::routes())
        .merge(sessions::routes())
        .merge(commands::routes())
        .merge(keypad::routes())
        .merge(transfer::routes())
        .merge(nodes::routes())
}
