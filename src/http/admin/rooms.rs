//! `/admin/rooms`: the open rooms of all apps.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::gateway::release;
use crate::http::lists::Listed;
use crate::http::middleware::audit::AuditApp;
use crate::http::openapi::schemas::example::{ROOM, SESSION};
use crate::http::openapi::schemas::{Failure, RoomIdText, RoomPath, SessionIdText, limit};
use crate::http::ownership::{open_room, typed};
use crate::http::request::{Page, PathId};
use crate::reconciler::{Intent, Refusal, Requester};
use crate::store::room::{RoomHead, decode_room};
use crate::store::{EntityId, EntityKind};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::DeleteRoom;
use roomkeeper_core::room::{Member, Registration, RoomStatus};

use super::query::Query;
use super::scope::Scope;
use super::state::{Operator, Shared};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, delete))
}

/// The page and the filters of a list of rooms.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes parameters")]
struct RoomsQuery {
    /// Only rooms of this app.
    app_id: Option<String>,
    /// Only rooms on this node.
    node: Option<String>,
    /// The maximum number of rows. A larger number is reduced to the allowed maximum.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the previous page, unchanged.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminRoomList)]
pub(super) struct RoomList {
    rooms: Vec<RoomRow>,
    cursor: String,
}

/// The type of a room.
#[derive(ToSchema)]
#[schema(as = RoomType, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum RoomKindText {
    Conference,
    Connect,
}

/// The status of a room.
#[derive(ToSchema)]
#[schema(as = RoomStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum RoomStatusText {
    Starting,
    Progressing,
    Terminating,
    Terminated,
}

/// The status of a member.
#[derive(ToSchema)]
#[schema(as = MemberStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum MemberStatusText {
    Joining,
    Joined,
    Leaving,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminRoom)]
pub(super) struct RoomRow {
    #[schema(value_type = RoomIdText)]
    room_id: String,
    app_id: String,
    node: String,
    name: String,
    #[serde(rename = "type")]
    #[schema(value_type = RoomKindText)]
    kind: &'static str,
    /// `starting` until its node can be reached, then `progressing`.
    #[schema(value_type = RoomStatusText)]
    status: &'static str,
    members: usize,
    locked: bool,
    /// Present only while the members wait for a moderator.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    waiting: bool,
    #[schema(format = DateTime)]
    created_at: String,
    /// The node is not connected, so the state may be out of date. Present only while this is `true`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminRoomDetail)]
pub(super) struct RoomDetail {
    #[schema(value_type = RoomIdText)]
    room_id: String,
    app_id: String,
    node: String,
    name: String,
    #[serde(rename = "type")]
    #[schema(value_type = RoomKindText)]
    kind: &'static str,
    /// `starting` until its node can be reached, then `progressing`.
    #[schema(value_type = RoomStatusText)]
    status: &'static str,
    /// Also those that are still joining.
    members: Vec<MemberRow>,
    locked: bool,
    /// Present only while the members wait for a moderator.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    waiting: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminMember)]
pub(super) struct MemberRow {
    #[schema(value_type = SessionIdText)]
    uuid: String,
    did: String,
    caller_id: String,
    muted: bool,
    deaf: bool,
    held: bool,
    #[schema(value_type = MemberStatusText)]
    status: &'static str,
    /// The time of the request to join, or of the first event.
    #[schema(format = DateTime)]
    joined_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminRoomRef)]
pub(super) struct RoomRef {
    #[schema(value_type = RoomIdText)]
    room_id: String,
}

/// List the rooms of all apps
///
/// Ordered by creation time. An empty `cursor` marks the last page.
#[utoipa::path(
    get, path = "/admin/rooms", tag = "rooms", operation_id = "listRooms",
    params(RoomsQuery),
    responses(
        (status = 200, description = "A page of 50 rows by default, 200 at most.", body = RoomList,
         example = json!({"rooms": [{"room_id": ROOM, "app_id": "demo", "node": "acW68", "name": "team-standup", "type": "conference", "status": "progressing", "members": 3, "locked": false, "created_at": "2026-05-06T12:34:56Z"}], "cursor": ""})),
        (status = 404, description = "The node does not exist.", body = Failure),
    )
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    _: Operator,
    page: Page,
    query: Query,
) -> Result<Json<RoomList>, ApiError> {
    let scope = Scope::from_query(&shared, &query)?;
    let (shared, nodes) = (&*shared, &scope.nodes);
    let rows = scope
        .list(shared, EntityKind::Room, List::Rooms)
        .page(
            (page.cursor.as_deref(), page.limit(50, 200)),
            |listed| async move {
                let Listed::Entity(EntityId::Room(id)) = listed else {
                    return Ok(None);
                };
                let head = open_room(&*shared.state.store, id).await?;
                Ok(head.map(|head| RoomRow::from_head(id, head, nodes.stale(id.node()))))
            },
        )
        .await?;
    Ok(Json(RoomList {
        rooms: rows.rows,
        cursor: rows.cursor,
    }))
}

/// Read a room of any app
#[utoipa::path(
    get, path = "/admin/rooms/{room_id}", tag = "rooms", operation_id = "getRoom",
    params(RoomPath),
    responses(
        (status = 200, description = "The room with its members.", body = RoomDetail,
         example = json!({"room_id": ROOM, "app_id": "demo", "node": "acW68", "name": "team-standup", "type": "conference", "status": "progressing", "members": [{"uuid": SESSION, "did": "747713001", "caller_id": "527121102", "muted": false, "deaf": false, "held": false, "status": "joined", "joined_at": "2026-05-06T12:34:56Z"}], "locked": false, "created_at": "2026-05-06T12:34:56Z"})),
        (status = 404, description = "The room does not exist, or has ended.", body = Failure),
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<RoomId>,
) -> Result<Json<RoomDetail>, ApiError> {
    let record = shared.state.store.read(EntityId::Room(id)).await?;
    let room = record.map(|record| decode_room(id, &record)).transpose()?;
    let room = room.filter(|room| room.is_open());
    let found = room
        .as_ref()
        .and_then(|room| Some((room, room.registration()?)));
    let missing = || ApiError::refused(&Refusal::RoomNotFound, false);
    let (room, registration) = found.ok_or_else(missing)?;
    let members = room.members().iter();
    Ok(Json(RoomDetail {
        room_id: id.to_string(),
        app_id: registration.app.to_string(),
        node: id.node().to_string(),
        name: registration.name.clone(),
        kind: registration.kind.as_str(),
        status: status(room.status()),
        members: members
            .map(|(call, member)| MemberRow::from_member(*call, member))
            .collect(),
        locked: room.lock().locked(),
        waiting: room.is_waiting(),
        created_at: registration.created_at.rfc3339_seconds(),
        stale: shared.is_stale(id.node()),
    }))
}

/// End a room of any app
///
/// Its app gets the same webhooks as after its own request.
#[utoipa::path(
    delete, path = "/admin/rooms/{room_id}", tag = "rooms", operation_id = "deleteRoom",
    params(RoomPath),
    responses(
        (status = 200, description = "The room is ending.", body = RoomRef, example = json!({"room_id": ROOM})),
        (status = 404, description = "The room does not exist, or has ended.", body = Failure),
    )
)]
pub(super) async fn delete(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<RoomId>,
) -> Result<(Extension<AuditApp>, Json<RoomRef>), ApiError> {
    let intent = Intent::new(Target::Room(id), Requester::Operator, DeleteRoom);
    let deleted = typed::<DeleteRoom>(shared.submit(intent).await?)?;
    release(&*shared.state.store, id, &deleted).await;
    let room_id = id.to_string();
    Ok((Extension(AuditApp(deleted.app)), Json(RoomRef { room_id })))
}

const fn status(status: RoomStatus) -> &'static str {
    match status {
        RoomStatus::Starting => "starting",
        RoomStatus::Progressing => "progressing",
        RoomStatus::Terminating { .. } => "terminating",
        RoomStatus::Terminated => "terminated",
    }
}

impl RoomRow {
    fn from_head(id: RoomId, head: RoomHead, stale: bool) -> Self {
        let waiting = head.is_waiting();
        let Registration {
            app,
            name,
            created_at,
            kind,
            ..
        } = head.registration;
        Self {
            room_id: id.to_string(),
            app_id: app.to_string(),
            node: id.node().to_string(),
            name,
            kind: kind.as_str(),
            status: status(head.status),
            members: head.present,
            locked: head.locked,
            waiting,
            created_at: created_at.rfc3339_seconds(),
            stale,
        }
    }
}

impl MemberRow {
    fn from_member(call: CallId, member: &Member) -> Self {
        Self {
            uuid: call.to_string(),
            did: member.did.to_string(),
            caller_id: member.caller_id.to_string(),
            muted: !member.flags.speak,
            deaf: !member.flags.hear,
            held: member.flags.hold,
            status: member.status.membership_status().as_str(),
            joined_at: member.since.rfc3339_seconds(),
        }
    }
}
