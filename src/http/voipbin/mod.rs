//! The VoIPBIN API, `/v1.0`: conferences, the calls in them, and recordings, over the same rooms as the gateway API.
//!
//! Owns its routes, handlers, wire types and authentication. A conference is a room: its id is the room's UUID, which
//! encodes the node.

mod auth;
mod calls;
mod conferences;
mod forms;
mod recordings;
mod request;
mod schemas;

use utoipa_axum::router::OpenApiRouter;

use super::state::Shared;

/// Each route has its whole path: below a common prefix, axum would rewrite the path of each request.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(conferences::routes())
        .merge(calls::routes())
        .merge(recordings::routes())
}
