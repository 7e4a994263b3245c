//! `/conferences`: rooms and who is in them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::ops::Bound;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::access::Nodes;
use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::cursor::List;
use crate::api::error::ApiError;
use crate::api::lists::{self, Listed, Source};
use crate::api::placement;
use crate::api::request::{Page, PathId};
use crate::ids::{NodeId, RoomId, RoomName, SessionId};
use crate::reconciler::{Accepted, Intent, Refusal};
use crate::room::Member;
use crate::store::record::{RoomHead, decode_room};
use crate::store::{EntityId, EntityKind};

use super::docs::{PlaybackStatus, RecordingStatusText, RoomIdText, SessionIdText};
use super::{create, playback, recording};

#[derive(Serialize, ToSchema)]
pub(super) struct RoomRef {
    #[schema(value_type = RoomIdText)]
    room_id: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RoomList {
    conferences: Vec<RoomRow>,
    cursor: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RoomRow {
    #[schema(value_type = RoomIdText)]
    room_id: String,
    name: String,
    members: usize,
    /// RFC 3339 here, unix seconds in [`RoomDetail`]: both as documented.
    #[schema(format = DateTime)]
    created_at: String,
    /// Only there while it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    /// Left out while nothing plays.
    #[schema(value_type = Option<PlaybackStatus>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    playback_status: Option<&'static str>,
    /// Left out while it is not recorded.
    #[schema(value_type = Option<RecordingStatusText>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_status: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RoomDetail {
    #[schema(value_type = RoomIdText)]
    room_id: String,
    name: String,
    #[schema(pattern = "^[0-9]+$")]
    created_at: String,
    members: usize,
    #[schema(value_type = PlaybackStatus)]
    playback_status: &'static str,
    playback_volume: i8,
    playback_urls: Vec<String>,
    playback_operation_id: String,
    /// Only there while it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    /// Left out while it is not recorded.
    #[schema(value_type = Option<RecordingStatusText>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_status: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MemberList {
    #[schema(value_type = RoomIdText)]
    room_id: String,
    members: Vec<MemberRow>,
    cursor: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct MemberRow {
    #[schema(value_type = SessionIdText)]
    uuid: String,
    did: String,
    caller_id: String,
    muted: bool,
}

/// `POST /conferences`.
pub(super) async fn create(
    State(state): State<Shared>,
    caller: Caller,
    fields: Fields,
) -> Result<(StatusCode, Json<RoomRef>), ApiError> {
    let name: RoomName = fields.required("name")?;
    let node: Option<NodeId> = fields.parsed("node")?;
    let session: Option<SessionId> = fields.parsed("session")?;
    let node = placement::place(&state, &caller, node, session).await?;
    let room = create::create(&state, &caller.app, &name, node).await?;
    Ok((StatusCode::CREATED, Json(RoomRef::of(room))))
}

/// `GET /conferences`.
pub(super) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    page: Page,
) -> Result<Json<RoomList>, ApiError> {
    let limit = page.limit(50, 200);
    let state = &*state;
    let nodes = &Nodes::now(state);
    let what = (Source::Entities(EntityKind::Room), List::Rooms);
    let rows = lists::page(
        state,
        nodes,
        &caller,
        what,
        (page.cursor.as_deref(), limit),
        |listed| async move {
            let Listed::Entity(EntityId::Room(id)) = listed else {
                return Ok(None);
            };
            let head = state.open_room(id).await?;
            Ok(head.map(|head| RoomRow::of(id, head, nodes.stale(id.node()))))
        },
    )
    .await?;
    Ok(Json(RoomList {
        conferences: rows.rows,
        cursor: rows.cursor,
    }))
}

/// `GET /conferences/{room_id}`.
pub(super) async fn get(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
) -> Result<Json<RoomDetail>, ApiError> {
    let head = state.find_room(id).await?;
    state.own_room(&caller, &head)?;
    let playing = head.playback.head();
    Ok(Json(RoomDetail {
        room_id: id.to_string(),
        name: head.registration.name,
        created_at: head.registration.created_at.as_secs().to_string(),
        members: head.present,
        locked: head.locked,
        playback_status: playback::status(&head.playback),
        playback_volume: head.playback.volume(),
        playback_urls: playing
            .map(|op| op.files.iter().map(|file| file.url.to_string()).collect())
            .unwrap_or_default(),
        playback_operation_id: playing.map_or_else(String::new, |op| op.id.to_string()),
        recording_status: head.recording.as_ref().map(recording::status),
        stale: state.stale(id.node()),
    }))
}

/// `DELETE /conferences/{room_id}`.
pub(super) async fn delete(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
) -> Result<Json<RoomRef>, ApiError> {
    let head = state.find_room(id).await?;
    state.own_room(&caller, &head)?;
    let intent = Intent::DeleteRoom {
        room: id,
        app: caller.app.clone(),
    };
    match state.submit(intent).await? {
        Accepted::Deleted => {}
        other @ (Accepted::Created
        | Accepted::Updated
        | Accepted::Locking
        | Accepted::Locked { .. }
        | Accepted::Recording { .. }
        | Accepted::RecordingStops { .. }
        | Accepted::Joining { .. }
        | Accepted::AlreadyJoined { .. }
        | Accepted::Leaving { .. }
        | Accepted::Muted { .. }
        | Accepted::Unmuted { .. }
        | Accepted::Playing { .. }
        | Accepted::Toggled { .. }
        | Accepted::Stopped { .. }
        | Accepted::VolumeSet { .. }
        | Accepted::InProgress { .. }) => {
            return Err(ApiError::internal(&format!(
                "a deletion was answered {other:?}"
            )));
        }
    }
    create::release(&state, &head.registration, id).await;
    Ok(Json(RoomRef::of(id)))
}

/// `GET /conferences/{room_id}/members`. Another app's room is not found here, whatever the settings: so it is
/// documented.
pub(super) async fn members(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
    page: Page,
) -> Result<Json<MemberList>, ApiError> {
    let limit = page.limit(50, 1000);
    let list = List::Members(id);
    let key = &state.settings.cursor_key;
    let after: Option<SessionId> = page
        .cursor
        .as_deref()
        .map(|text| {
            let position = key.open(&caller.app, list, text)?;
            position.parse().map_err(|e| ApiError::field("cursor", e))
        })
        .transpose()?;
    let not_found = || state.refuse(&Refusal::RoomNotFound);
    let record = state
        .store
        .read(EntityId::Room(id))
        .await?
        .ok_or_else(not_found)?;
    let room = decode_room(id, &record)?;
    let owned = room.registration().is_some_and(|r| r.app == caller.app);
    if !room.is_open() || !owned {
        return Err(not_found());
    }
    // In the order of the sessions' ids: it is the one that a call keeps that leaves and comes back between two pages.
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = room
        .members()
        .range((from, Bound::Unbounded))
        .filter(|(_, member)| member.stay.is_some());
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let cursor = match (shown.last(), rest.next()) {
        (Some((last, _)), Some(_)) => key.seal(&caller.app, list, &last.to_string()),
        (Some(_) | None, Some(_) | None) => String::new(),
    };
    Ok(Json(MemberList {
        room_id: id.to_string(),
        members: shown
            .into_iter()
            .map(|(who, member)| MemberRow::of(*who, member))
            .collect(),
        cursor,
        stale: state.stale(id.node()),
    }))
}

impl RoomRef {
    fn of(room: RoomId) -> Self {
        Self {
            room_id: room.to_string(),
        }
    }
}

impl RoomRow {
    fn of(id: RoomId, head: RoomHead, stale: bool) -> Self {
        Self {
            room_id: id.to_string(),
            name: head.registration.name,
            members: head.present,
            locked: head.locked,
            created_at: head.registration.created_at.rfc3339_seconds(),
            playback_status: head
                .playback
                .head()
                .map(|_| playback::status(&head.playback)),
            recording_status: head.recording.as_ref().map(recording::status),
            stale,
        }
    }
}

impl MemberRow {
    fn of(who: SessionId, member: &Member) -> Self {
        Self {
            uuid: who.to_string(),
            did: member.did.to_string(),
            caller_id: member.caller_id.to_string(),
            muted: !member.flags.speak,
        }
    }
}
