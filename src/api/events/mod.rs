//! `GET /api/v1/events`: what an app's webhooks are told, as a stream of server-sent events.
//!
//! Owns who may open a stream, of what, and how many there may be. `place` knows how far one is, `hub` what all of them
//! share, `reader` what one does. Leaves out what happens: that is in the outbox of each node, and what is not stored is
//! said ([`crate::store::live`]).
//!
//! # What a client can rely on
//!
//! Each stored event comes once, in the order of its node, under an id with which the stream can be taken up again: here,
//! after a restart, or at another replica. The outbox keeps what was told for a while; when what a client has not seen is
//! gone, or the store was wiped or set back, it is told so (`stream.gap`), for it must read the state then. A stream ends when
//! the key that it was opened with is none of the app's any more.

mod docs;
mod hub;
mod place;
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

use super::Shared;
use super::auth::{Caller, given_key, only};
use super::cursor::List;
use super::error::ApiError;
use crate::ids::RoomId;
use crate::reconciler::Refusal;
use crate::room::RoomStatus;
use crate::store::EntityId;
use crate::store::record::decode_room_head;
use crate::webhook::endpoint::EventFilter;
use crate::webhook::payload::{EVENTS, LIVE_EVENTS};

use hub::Full;
use place::Place;
use reader::{Access, Reader, Subject};

pub(crate) use docs::Paths;
pub use hub::{Hub, StreamSettings};

const LAST_EVENT_ID: &str = "last-event-id";

/// What who finds no place is told to wait: streams go on for long, so nobody knows.
const NO_PLACE: Duration = Duration::from_secs(5);

/// Nothing on the way may keep what is sent, not even for a moment.
const UNBUFFERED: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Every name that can come on a stream. What happens to a receiver is told to the others alone.
pub(super) fn stream_events() -> impl Iterator<Item = &'static str> {
    let stored = EVENTS.iter().filter(|name| !name.starts_with("webhook."));
    stored.chain(LIVE_EVENTS).copied()
}

/// What a caller wants to see.
pub(super) struct Wanted {
    room: Option<RoomId>,
    events: Vec<EventFilter>,
    /// As the caller gave it; an empty one is none.
    last: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let (mut room, mut events) = (None, Vec::new());
        for (name, value) in url::form_urlencoded::parse(query) {
            match &*name {
                "room_id" => {
                    let id = value.parse().map_err(|e| ApiError::field("room_id", e))?;
                    if room.replace(id).is_some() {
                        return Err(ApiError::field("room_id", "it is given twice"));
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

/// `GET /events`.
pub(super) async fn events(
    State(state): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    wanted: Wanted,
) -> Result<impl IntoResponse, ApiError> {
    let Wanted { room, events, last } = wanted;
    let key = &state.settings.cursor_key;
    let from = last.map(|text| {
        let place = key.open(&caller.app, List::Events(room), &text)?;
        Place::parse(&place).ok_or_else(|| ApiError::internal(&"an id of ours cannot be read"))
    });
    let from = from.transpose()?;
    let status = match room {
        Some(room) => Some(state.streamed_room(&caller, room, from.as_ref()).await?),
        None => None,
    };
    let mut tenants = state.apps.watch();
    // It may have changed since it was asked.
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
    let held = hub.take_place(&subject.app).map_err(|full| match full {
        Full::App => ApiError::limited(
            format!("the app has {} event streams here", hub.settings.each_app),
            NO_PLACE,
        ),
        Full::All => ApiError::unavailable("there are too many event streams here", NO_PLACE),
    })?;
    let reader = Reader::begin(hub, key.clone(), access, subject, from, held).await?;
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<Event, Infallible>(event), reader))
    });
    Ok((UNBUFFERED, Sse::new(events)).into_response())
}

impl super::ApiState {
    /// Where a room stands of which a stream is wanted, or 404 or 403. Who was away when it ended may come back for what
    /// it has not seen of it.
    async fn streamed_room(
        &self,
        caller: &Caller,
        id: RoomId,
        from: Option<&Place>,
    ) -> Result<RoomStatus, ApiError> {
        let missing = || self.refuse(&Refusal::RoomNotFound);
        let record = self.store.read_head(EntityId::Room(id)).await?;
        let head = record.map(|r| decode_room_head(id, &r)).transpose()?;
        let head = head.ok_or_else(missing)?;
        if !head.is_open() && from.is_none_or(|place| place.over) {
            return Err(missing());
        }
        self.own_room(caller, &head)?;
        // Of a node that is not configured any more nothing is told.
        if !self.events.nodes().contains(&id.node()) {
            return Err(missing());
        }
        Ok(head.status)
    }
}
