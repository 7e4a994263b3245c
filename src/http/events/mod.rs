//! `GET /api/v1/events`: the events of an app's webhooks as a stream of server-sent events.
//!
//! Owns authorisation, filters and limits on the number of streams. `cursor` has resume positions, `hub` the parts
//! that all streams share, `reader` one stream. Leaves out the events: stored ones are in the outbox of each node,
//! live ones in [`crate::store::live`].
//!
//! # Guarantees
//!
//! Each stored event comes once, in the order of its node, with an id from which the stream can resume: here, after a
//! restart, or on another replica. The outbox keeps events for a limited time. When events that a client has not seen
//! are gone, or the store was wiped or rolled back, the stream reports `stream.gap`, and the client must read the state
//! again. A stream ends when the key that opened it is no longer valid for the app.

mod cursor;
pub(super) mod hub;
mod reader;

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Caller, given_key, only};
use super::cursor::List;
use super::error::ApiError;
use super::openapi::schemas::{Failure, RoomIdText, event_filter};
use super::state::{ApiState, Shared};
use crate::reconciler::Refusal;
use crate::store::EntityId;
use crate::store::room::decode_room_head;
use crate::webhook::endpoint::EventFilter;
use crate::webhook::payload::event_names;
use roomkeeper_core::ids::RoomId;
use roomkeeper_core::room::LiveChange;
use roomkeeper_core::room::RoomStatus;

use cursor::StreamCursor;
use hub::LimitReached;
use reader::{Access, Reader, Subject};

pub use hub::{Hub, StreamSettings};

const LAST_EVENT_ID: &str = "last-event-id";

/// `Retry-After` when the stream limit is reached. Streams last long, so the real wait is unknown.
const STREAM_RETRY: Duration = Duration::from_secs(5);

/// Headers that forbid proxies to cache or buffer the stream.
const UNBUFFERED: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Every event name that a stream can carry. Events about webhook endpoints go to other endpoints only.
pub(super) fn stream_events() -> impl Iterator<Item = &'static str> {
    let stored = event_names().filter(|name| !name.starts_with("webhook."));
    stored.chain(LiveChange::NAMES.iter().copied())
}

/// Schemas that parameters refer to, which utoipa does not collect from there.
#[derive(OpenApi)]
#[openapi(components(schemas(StreamFilter)))]
struct Schemas;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Schemas::openapi()).routes(routes!(events))
}

event_filter! {
    /// Filter of stream event names.
    StreamFilter, stream_events()
}

/// One event of the stream. The fields have their names on the wire.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the answer")]
struct StreamEvent {
    /// The position behind this event, from which a stream can resume; absent for events that are not stored.
    id: Option<String>,
    /// The event's name.
    event: String,
    /// The body, byte for byte as in a webhook: JSON on one line.
    data: String,
    /// In the first event only: milliseconds after which a client reconnects.
    retry: Option<u32>,
}

/// The filter of a stream.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query")]
struct EventQuery {
    /// Only events of this conference.
    #[param(value_type = RoomIdText, required = false)]
    room_id: Option<String>,
    /// Only these events: names, prefixes such as `conference.member.*` and `member.*`, or `*`; separated by commas or
    /// in repeated parameters. Events about the stream itself (`stream.*`) always come.
    #[param(value_type = Vec<StreamFilter>, required = false, explode = true)]
    event: Vec<String>,
}

/// The parsed request for a stream.
pub(super) struct StreamRequest {
    room: Option<RoomId>,
    events: Vec<EventFilter>,
    /// `Last-Event-ID` as sent; an empty one counts as none.
    last: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for StreamRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let (mut room, mut events) = (None, Vec::new());
        for (name, value) in url::form_urlencoded::parse(query) {
            match &*name {
                "room_id" => {
                    let id = value.parse().map_err(|e| ApiError::field("room_id", e))?;
                    if room.replace(id).is_some() {
                        return Err(ApiError::field("room_id", "is given twice"));
                    }
                }
                "event" => {
                    for text in value.split(',') {
                        let filter = EventFilter::among(text, stream_events());
                        let filter = filter.map_err(|e| ApiError::field("event", e))?;
                        if !events.contains(&filter) {
                            events.push(filter);
                        }
                    }
                }
                _ => {}
            }
        }
        let last = match parts.headers.contains_key(LAST_EVENT_ID) {
            false => None,
            true => {
                let once = only(&parts.headers, LAST_EVENT_ID);
                let text = once.and_then(|value| std::str::from_utf8(value).ok());
                let not_one = || ApiError::field("Last-Event-ID", "it is not one id");
                Some(text.ok_or_else(not_one)?.to_owned())
            }
        };
        Ok(Self {
            room,
            events,
            last: last.filter(|text| !text.is_empty()),
        })
    }
}

/// Follow events
///
/// Server-sent events: the app's webhook events, with the webhook's body, byte for byte, as `data` and the event's name
/// as `event`. In addition `member.talking` and `member.floor`, which are not stored and have no `id`.
///
/// The first event is `stream.open`, with the `id` of the current position: read the state after it, then apply the
/// events that follow. Each stored event comes once. To resume behind an event, at any replica, send its `id` as
/// `Last-Event-ID`. If later events are no longer stored, or the store lost them, `stream.gap` lists the nodes and, if
/// known, the number of missing events: read the state again. A comment comes every 15 seconds. The stream of one
/// conference ends with its `conference.destroyed`; every stream ends when the server stops.
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
    get, path = "/api/v1/events", tag = "events", operation_id = "streamEvents",
    params(
        EventQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last received event. Without it, the stream begins now."),
    ),
    responses(
        (status = 200, description = "Events, until one side closes the connection.", body = StreamEvent, content_type = "text/event-stream",
         example = json!({"id": "kzJ5b0Fj", "event": "stream.open", "data": "{\"event\":\"stream.open\",\"timestamp\":\"2026-05-06T12:34:56.000000Z\",\"app_id\":\"demo\",\"data\":{\"resumed\":false}}", "retry": 2000})),
        (status = 403, description = "The conference belongs to another app.", body = Failure),
        (status = 404, description = "The conference does not exist, or it has ended and the client has received all its events.", body = Failure),
        (status = 429, description = "Too many requests, or the app has too many streams here. `Retry-After` says when to retry.", body = Failure),
    )
)]
pub(super) async fn events(
    State(state): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    wanted: StreamRequest,
) -> Result<impl IntoResponse, ApiError> {
    let StreamRequest { room, events, last } = wanted;
    let key = &state.settings.cursor_key;
    let from = last.map(|text| {
        let cursor = key.open(&caller.app, List::Events(room), &text)?;
        StreamCursor::parse(&cursor)
            .ok_or_else(|| ApiError::internal(&"an event id of this service cannot be parsed"))
    });
    let from = from.transpose()?;
    let status = match room {
        Some(room) => Some(state.streamed_room(&caller, room, from.as_ref()).await?),
        None => None,
    };
    let mut tenants = state.apps.watch();
    // The registry may have changed since authentication.
    tenants.mark_changed();
    let access = Access {
        tenants,
        key: given_key(&headers),
    };
    let subject = Subject {
        app: caller.app,
        room,
        room_is_over: status == Some(RoomStatus::Terminated),
        events,
    };
    let hub = &state.events;
    let permit = hub.acquire(&subject.app).map_err(|limit| match limit {
        LimitReached::App => ApiError::limited(
            format!("the app has {} event streams here", hub.settings.each_app),
            STREAM_RETRY,
        ),
        LimitReached::All => {
            ApiError::unavailable("there are too many event streams here", STREAM_RETRY)
        }
    })?;
    let reader = Reader::begin(hub, key.clone(), access, subject, from, permit).await?;
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<Event, Infallible>(event), reader))
    });
    Ok((UNBUFFERED, Sse::new(events)).into_response())
}

impl ApiState {
    /// The status of a room whose stream is requested, or 404 or 403. A client that was disconnected when the room
    /// ended may resume to receive the remaining events.
    async fn streamed_room(
        &self,
        caller: &Caller,
        id: RoomId,
        from: Option<&StreamCursor>,
    ) -> Result<RoomStatus, ApiError> {
        let missing = || self.refuse(&Refusal::RoomNotFound);
        let record = self.store.read_head(EntityId::Room(id)).await?;
        let head = record.map(|r| decode_room_head(id, &r)).transpose()?;
        let head = head.ok_or_else(missing)?;
        if !head.is_open() && from.is_none_or(|cursor| cursor.is_over) {
            return Err(missing());
        }
        self.own_room(caller, &head)?;
        // A node that is no longer configured sends no events.
        if !self.events.nodes().contains(&id.node()) {
            return Err(missing());
        }
        Ok(head.status)
    }
}
