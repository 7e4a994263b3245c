//! What the OpenAPI document says of the event stream: one empty function, above which stands what its handler takes and
//! answers.
#![allow(dead_code, reason = "what stands here is read by the macros alone")]

use utoipa::{IntoParams, OpenApi, ToSchema};

use super::stream_events;
use crate::api::gateway::{Failure, RoomIdText};
use crate::api::openapi::event_filter;

/// The path of the stream.
#[derive(OpenApi)]
#[openapi(paths(events), components(schemas(StreamFilter, StreamEvent)))]
pub(crate) struct Paths;

event_filter! {
    /// Which events of the stream are meant.
    StreamFilter, stream_events()
}

/// One event of the stream, by the names of its fields on the wire.
#[derive(ToSchema)]
struct StreamEvent {
    /// Where the stream goes on behind it; what is not stored has none.
    id: Option<String>,
    /// Its name.
    event: String,
    /// The body, as a receiver of webhooks gets it: JSON, in one line.
    data: String,
    /// With the first: milliseconds until a client that lost the connection comes back.
    retry: Option<u32>,
}

/// What is to be seen.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct EventQuery {
    /// Only what happens in this conference.
    #[param(value_type = RoomIdText, required = false)]
    room_id: Option<String>,
    /// Only these: names of events, prefixes as `conference.member.*` and `member.*`, or `*`; more than one with commas
    /// between, or given more than once. What is told of the stream itself (`stream.*`) always comes.
    #[param(value_type = Vec<StreamFilter>, required = false, explode = true)]
    event: Vec<String>,
}

/// Follow what happens
///
/// Server-sent events: what the app's webhooks are told, each body to the byte as `data`, with the event's name as
/// `event`. Besides, not stored and without `id`: `member.talking` and `member.floor`.
///
/// The first is `stream.open`, with the `id` of the moment: read the state after it, then apply what follows. Each stored
/// event comes once, under an `id` with which the stream goes on behind it, at any replica: send the last one as
/// `Last-Event-ID`. When something behind it is not kept any more, or the store lost it, `stream.gap` says on which nodes,
/// and how many events of theirs if that is known: read the state again. A comment comes every 15 seconds. The stream of
/// one conference ends with its `conference.destroyed`; every stream ends when the server stops.
///
/// ```text
/// retry: 2000
/// id: kzJ5b0Fj
/// event: stream.open
/// data: {"event":"stream.open","timestamp":"2026-05-06T12:34:56.000000Z","app_id":"demo","data":{"resumed":false}}
///
/// id: p0VxYzM2
/// event: call.answered
/// data: {"event":"call.answered","timestamp":"2026-05-06T12:34:57.000000Z","app_id":"demo","session_uuid":"acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11","sequence":2,"data":{}}
/// ```
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(
        EventQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen. Without it, the stream begins now."),
    ),
    responses(
        (status = 200, description = "What happens, for as long as both sides want.", body = StreamEvent, content_type = "text/event-stream",
         example = json!({"id": "kzJ5b0Fj", "event": "stream.open", "data": "{\"event\":\"stream.open\",\"timestamp\":\"2026-05-06T12:34:56.000000Z\",\"app_id\":\"demo\",\"data\":{\"resumed\":false}}", "retry": 2000})),
        (status = 403, description = "The conference is another app's.", body = Failure),
        (status = 404, description = "There is no such conference, or it has ended and all of it was seen.", body = Failure),
        (status = 429, description = "Too many requests, or the app has too many streams here: `Retry-After` says when to come back.", body = Failure),
    )
)]
fn events() {}
