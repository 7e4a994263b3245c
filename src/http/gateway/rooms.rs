//! `/conferences`: rooms and their members.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::lists::{self, Listed, Source};
use crate::http::middleware::audit::AuditTarget;
use crate::http::openapi::schemas::example::{ROOM, SESSION};
use crate::http::openapi::schemas::{
    Failure, MemberSettingsText, PageQuery, ReadFailures, RoomIdText, RoomPath, RoomSettingsText,
    SessionIdText, ShownRoomSettingsText,
};
use crate::http::ownership::Nodes;
use crate::http::placement;
use crate::http::request::{Page, PathId};
use crate::http::state::Shared;
use crate::reconciler::{Intent, Refusal};
use crate::store::room::{RoomHead, decode_room};
use crate::store::{EntityId, EntityKind};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, NodeId, RoomId, RoomName};
use roomkeeper_core::intent::DeleteRoom;
use roomkeeper_core::room::{Member, MemberSettings, Recording, Sparse};

use super::create;
use super::member_query::{MemberFilters, MemberQuery};
use super::playback::{self, PlaybackStatus};
use super::recording::RecordingStatusText;
use super::settings::{self, RoomSettingsRow};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
        .routes(routes!(members))
}

/// A new conference.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct NewConference {
    /// Unique among the app's open conferences.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    name: String,
    /// The node of the conference; if omitted, the least loaded node that is up.
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    node: Option<String>,
    /// The conference is created on this call's node.
    #[schema(value_type = Option<SessionIdText>)]
    session: Option<String>,
    /// The PIN that a caller enters before its call joins. No response and no webhook shows it.
    #[schema(pattern = "^[0-9]{4,16}$")]
    pin: Option<String>,
    #[serde(flatten)]
    settings: RoomSettingsText,
}

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
    /// RFC 3339. A single conference has `created_at` in Unix seconds.
    #[schema(format = DateTime)]
    created_at: String,
    /// Present only while the conference is locked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    /// Present only while the conference waits for a moderator.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    waiting: bool,
    /// Omitted while nothing plays.
    #[schema(value_type = Option<PlaybackStatus>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    playback_status: Option<&'static str>,
    /// Omitted while the conference is not recorded.
    #[schema(value_type = Option<RecordingStatusText>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_status: Option<&'static str>,
    #[serde(flatten)]
    #[schema(value_type = ShownRoomSettingsText)]
    settings: RoomSettingsRow,
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
    /// The text of a `say`. Omitted while none is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    playback_text: Option<String>,
    playback_operation_id: String,
    /// Present only while the conference is locked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    /// Present only while the conference waits for a moderator.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    waiting: bool,
    /// Omitted while the conference is not recorded.
    #[schema(value_type = Option<RecordingStatusText>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_status: Option<&'static str>,
    #[serde(flatten)]
    #[schema(value_type = ShownRoomSettingsText)]
    settings: RoomSettingsRow,
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
    /// The member does not hear the conference. Present only while this is `true`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deaf: bool,
    /// The time of the request to join, or of the first event.
    #[schema(format = DateTime)]
    joined_at: String,
    /// The member is on hold. Present only while this is `true`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// The member waits for a moderator: it hears nobody, and nobody hears it. Present only while this is `true`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    waiting: bool,
    /// Omitted while the member is not recorded.
    #[schema(value_type = Option<RecordingStatusText>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_status: Option<&'static str>,
    /// The session of its coach. Omitted while it has none.
    #[schema(value_type = Option<SessionIdText>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    coach: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = MemberSettingsText)]
    settings: Sparse<MemberSettings>,
}

/// Create a conference
///
/// Its webhook is `conference.created`.
#[utoipa::path(
    post, path = "/api/v1/conferences", tag = "conferences", operation_id = "createRoom",
    request_body(content = NewConference, example = json!({"name": "weekly-standup"})),
    responses(
        (status = 201, description = "The conference is created.", body = RoomRef,
         example = json!({"room_id": ROOM})),
        (status = 403, description = "The session belongs to another app.", body = Failure),
        (status = 404, description = "The node or the session does not exist.", body = Failure),
        (status = 409, description = "The name is taken by `detail.room_id`, the session is on another node, or `detail.node` is draining.", body = Failure,
         example = json!({"success": false, "error": "Conference name already taken for this application", "detail": {"room_id": ROOM}})),
    )
)]
pub(super) async fn create(
    State(state): State<Shared>,
    caller: Caller,
    fields: Fields,
) -> Result<(StatusCode, Extension<AuditTarget>, Json<RoomRef>), ApiError> {
    let name: RoomName = fields.required("name")?;
    let node: Option<NodeId> = fields.parsed("node")?;
    let session: Option<CallId> = fields.parsed("session")?;
    let details = settings::new_room(&state, &fields).await?;
    let node = placement::place(&state, &caller, node, session).await?;
    let count = details.settings.announce_count.as_ref();
    settings::check_speech(&state, node, count).await?;
    let room = create::create(&state, &caller.app, &name, node, details).await?;
    let made = Extension(AuditTarget(room.to_string()));
    Ok((StatusCode::CREATED, made, Json(RoomRef::for_room(room))))
}

/// List the app's conferences
///
/// Ordered by creation time. An empty `cursor` marks the last page.
#[utoipa::path(
    get, path = "/api/v1/conferences", tag = "conferences", operation_id = "listRooms",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of 50 rows by default, 200 at most.", body = RoomList,
         example = json!({"conferences": [{"room_id": ROOM, "name": "team-standup", "members": 3, "created_at": "2026-05-06T12:34:56Z"}], "cursor": ""})),
    )
)]
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
            Ok(head.map(|head| RoomRow::from_head(id, head, nodes.stale(id.node()))))
        },
    )
    .await?;
    Ok(Json(RoomList {
        conferences: rows.rows,
        cursor: rows.cursor,
    }))
}

/// Read a conference
#[utoipa::path(
    get, path = "/api/v1/conferences/{room_id}", tag = "conferences", operation_id = "getRoom",
    params(RoomPath),
    responses(
        (status = 200, description = "The conference. `created_at` is in Unix seconds here.", body = RoomDetail,
         example = json!({"room_id": ROOM, "name": "weekly-standup", "created_at": "1711036800", "members": 5, "playback_status": "stopped", "playback_volume": 0, "playback_urls": [], "playback_operation_id": ""})),
        ReadFailures,
    )
)]
pub(super) async fn get(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
) -> Result<Json<RoomDetail>, ApiError> {
    let head = state.find_room(id).await?;
    state.own_room(&caller, &head)?;
    let playing = head.playback.head();
    let waiting = head.is_waiting();
    Ok(Json(RoomDetail {
        room_id: id.to_string(),
        name: head.registration.name,
        created_at: head.registration.created_at.as_secs().to_string(),
        members: head.present,
        locked: head.locked,
        waiting,
        playback_status: playback::status(&head.playback),
        playback_volume: head.playback.volume(),
        playback_urls: playing
            .map(|op| op.files.iter().filter_map(|file| file.media.url()))
            .map(|urls| urls.map(ToString::to_string).collect())
            .unwrap_or_default(),
        playback_text: playing
            .and_then(|op| op.files.first()?.media.spoken())
            .map(|spoken| spoken.text.as_str().to_owned()),
        playback_operation_id: playing.map_or_else(String::new, |op| op.id.to_string()),
        recording_status: head.recording.as_ref().map(Recording::status_name),
        settings: head.registration.details.into(),
        stale: state.stale(id.node()),
    }))
}

/// End a conference
///
/// The conference is gone for callers as soon as the response is sent. Its members go back to park, each with a
/// `conference.member.left`; then `conference.destroyed` follows, at the latest 10 seconds after the response.
#[utoipa::path(
    delete, path = "/api/v1/conferences/{room_id}", tag = "conferences", operation_id = "deleteRoom",
    params(RoomPath),
    responses(
        (status = 200, description = "The conference is ending.", body = RoomRef,
         example = json!({"room_id": ROOM})),
        ReadFailures,
    )
)]
pub(super) async fn delete(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
) -> Result<Json<RoomRef>, ApiError> {
    let intent = Intent::new(Target::Room(id), caller.app.clone(), DeleteRoom);
    let deleted = state.submit::<DeleteRoom>(intent).await?;
    create::release(&*state.store, id, &deleted).await;
    Ok(Json(RoomRef::for_room(id)))
}

/// List a conference's members
///
/// Another app's conference gives 404 here.
#[utoipa::path(
    get, path = "/api/v1/conferences/{room_id}/members", tag = "conferences", operation_id = "listMembers",
    params(RoomPath, PageQuery, MemberFilters),
    responses(
        (status = 200, description = "A page of 50 rows by default, 1,000 at most.", body = MemberList,
         example = json!({"room_id": ROOM, "members": [{"uuid": SESSION, "did": "747713001", "caller_id": "527121102", "muted": false, "joined_at": "2026-05-06T12:34:56Z"}], "cursor": ""})),
        (status = 404, description = "The conference does not exist or belongs to another app.", body = Failure),
    )
)]
pub(super) async fn members(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
    page: Page,
    query: MemberQuery,
) -> Result<Json<MemberList>, ApiError> {
    let limit = page.limit(50, 1000);
    let list = List::Members(id);
    let key = &state.settings.cursor_key;
    let after = page
        .cursor
        .as_deref()
        .map(|text| query.read(&key.open(&caller.app, list, text)?))
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
    // By default ordered by session id: a call that leaves and rejoins between two pages keeps its place.
    let members = room.members().iter();
    let mut rest: Vec<_> = members
        .filter(|(_, member)| member.membership.is_some() && query.selects(member))
        .map(|(call, member)| (query.position(*call, member), call, member))
        .filter(|(position, _, _)| after.is_none_or(|after| *position > after))
        .collect();
    rest.sort_unstable_by_key(|(position, _, _)| *position);
    let more = rest.len() > limit;
    rest.truncate(limit);
    let cursor = match rest.last() {
        Some((position, _, _)) if more => key.seal(&caller.app, list, &query.write(*position)),
        Some(_) | None => String::new(),
    };
    Ok(Json(MemberList {
        room_id: id.to_string(),
        members: rest
            .into_iter()
            .map(|(_, call, member)| {
                let recording = room.member_recordings().get(call);
                let coach = room.coaches().get(call).filter(|coach| coach.began);
                let coach = coach.map(|coach| coach.call);
                MemberRow {
                    waiting: room.is_waiting(),
                    ..MemberRow::from_member(*call, member, recording, coach)
                }
            })
            .collect(),
        cursor,
        stale: state.stale(id.node()),
    }))
}

impl RoomRef {
    fn for_room(room: RoomId) -> Self {
        Self {
            room_id: room.to_string(),
        }
    }
}

impl RoomRow {
    fn from_head(id: RoomId, head: RoomHead, stale: bool) -> Self {
        let waiting = head.is_waiting();
        Self {
            room_id: id.to_string(),
            name: head.registration.name,
            members: head.present,
            locked: head.locked,
            waiting,
            created_at: head.registration.created_at.rfc3339_seconds(),
            playback_status: head
                .playback
                .head()
                .map(|_| playback::status(&head.playback)),
            recording_status: head.recording.as_ref().map(Recording::status_name),
            settings: head.registration.details.into(),
            stale,
        }
    }
}

impl MemberRow {
    fn from_member(
        call: CallId,
        member: &Member,
        recording: Option<&Recording>,
        coach: Option<CallId>,
    ) -> Self {
        Self {
            uuid: call.to_string(),
            did: member.did.to_string(),
            caller_id: member.caller_id.to_string(),
            muted: !member.flags.speak,
            deaf: !member.flags.hear,
            joined_at: member.since.rfc3339_seconds(),
            held: member.flags.hold,
            waiting: false,
            recording_status: recording.map(Recording::status_name),
            coach: coach.map(|coach| coach.to_string()),
            settings: member.settings.clone(),
        }
    }
}
