//! The VoIPBIN API, `/v1.0`: conferences, the calls in them, and recordings, over the same rooms as the gateway API.
//!
//! Owns its routes, handlers, wire types and forms of authentication. A conference is a room: its id is the room's uuid,
//! which carries the node it is on.

mod auth;
mod calls;
mod conferences;
mod docs;
mod forms;
mod recordings;
mod request;

use axum::Router;
use axum::routing::{get, post};

use super::Shared;

pub(crate) use docs::Paths;

/// Each with its whole path: below a prefix of all, axum would write each request's path anew.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route(
            "/v1.0/conferences",
            get(conferences::list).post(conferences::create),
        )
        .route(
            "/v1.0/conferences/{conference_id}",
            get(conferences::get)
                .put(conferences::update)
                .delete(conferences::delete),
        )
        .route(
            "/v1.0/conferences/{conference_id}/recording_start",
            post(conferences::recording_start),
        )
        .route(
            "/v1.0/conferences/{conference_id}/recording_stop",
            post(conferences::recording_stop),
        )
        .route(
            "/v1.0/conferencecalls",
            get(calls::list).post(calls::create),
        )
        .route(
            "/v1.0/conferencecalls/{conferencecall_id}",
            get(calls::get).delete(calls::delete),
        )
        .route("/v1.0/recordings", get(recordings::list))
        .route("/v1.0/recordings/{recording_id}", get(recordings::get))
}
