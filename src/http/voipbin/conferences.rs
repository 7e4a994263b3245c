//! `/conferences`: create, read, change, end, record.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::http::body::{AnyFields, Fields};
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::gateway::release;
use crate::http::lists::{self, Listed, Source};
use crate::http::middleware::audit::AuditTarget;
use crate::http::openapi::schemas::{Failure, ReadFailures};
use crate::http::ownership::{Nodes, typed};
use crate::http::placement::place;
use crate::http::state::Shared;
use crate::reconciler::{Intent, IntentError, Refusal};
use crate::store::room::decode_room;
use crate::store::{EntityId, StoreError, ViewId, ViewKind};
use roomkeeper_core::action::{self, Action, Task};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, CommandUid, NodeId, RoomId};
use roomkeeper_core::intent::{
    CreateRoom, DeleteRoom, StartRecording, StopRecording, TypedAction, UpdateRoom,
};
use roomkeeper_core::labels::LabelsUpdate;
use roomkeeper_core::room::{Details, Kind, Origin, RoomState, Update};

use super::auth::{Customer, customer_id};
use super::forms::Conference;
use super::request::{self, Page, PathUuid};
use super::schemas::{
    self, ConferencePath, NewVoipbinConference, VoipbinCommand, VoipbinPage, VoipbinUpdate,
};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(recording_start))
        .routes(routes!(recording_stop))
}

/// The longest name, in characters.
const LONGEST_NAME: usize = 255;

/// The longest description, in characters.
const LONGEST_DETAIL: usize = 4_096;

/// The maximum size of `data`, in bytes of JSON.
const MAX_DATA: usize = 16 * 1024;

/// The maximum size of all actions of a conference, in bytes of JSON.
const MAX_ACTIONS: usize = 64 * 1024;

/// The longest timeout, in seconds: a year.
const LONGEST_TIMEOUT: i64 = 31_536_000;

#[derive(Serialize, ToSchema)]
pub(super) struct ConferenceList {
    result: Vec<Conference>,
    next_page_token: String,
}

/// Create a conference
///
/// Names are free text and may repeat. Its webhook is `conference.created`.
#[utoipa::path(
    post, path = "/v1.0/conferences", tag = "conferences (VoIPBIN)", operation_id = "createConference",
    request_body(content = NewVoipbinConference, example = json!({"type": "conference", "name": "test conference", "detail": "test conference for example"})),
    responses(
        (status = 200, description = "The conference is created.", body = Conference,
         example = json!(schemas::conference())),
        (status = 404, description = "The node or the session does not exist.", body = Failure),
        (status = 409, description = "The session is on another node.", body = Failure),
    )
)]
pub(super) async fn create(
    State(state): State<Shared>,
    customer: Customer,
    AnyFields(fields): AnyFields,
) -> Result<(Extension<AuditTarget>, Json<Conference>), ApiError> {
    let kind = match fields.text("type")? {
        None | Some("conference") => Kind::Conference,
        Some("connect") => Kind::Connect,
        Some(_) => return Err(ApiError::field("type", "expected conference or connect")),
    };
    let node: Option<NodeId> = fields.parsed("node")?;
    let session: Option<CallId> = fields.parsed("session")?;
    let update = read_update(&state, &fields).await?;
    let node = place(&state, &customer.caller, node, session).await?;
    let room = RoomId::generate(node, (state.new_id)());
    let create = CreateRoom {
        name: update.name.unwrap_or_default(),
        origin: Origin::Voipbin,
        kind,
        details: Box::new(Details {
            detail: update.detail.unwrap_or_default(),
            data: update.data.unwrap_or_default(),
            timeout: update.timeout.unwrap_or_default(),
            pre_actions: update.pre_actions.unwrap_or_default(),
            post_actions: update.post_actions.unwrap_or_default(),
            ..Details::default()
        }),
    };
    let intent = Intent::new(Target::Room(room), customer.caller.app.clone(), create);
    state.submit::<CreateRoom>(intent).await?;
    let made = Extension(AuditTarget(room.to_string()));
    Ok((made, respond_with_room(&state, &customer, room).await?))
}

/// List conferences
///
/// Ordered by creation time, including conferences of the gateway API. Ended ones are listed for a limited time. An
/// empty `next_page_token` marks the last page.
#[utoipa::path(
    get, path = "/v1.0/conferences", tag = "conferences (VoIPBIN)", operation_id = "listConferences",
    params(VoipbinPage),
    responses(
        (status = 200, description = "A page of at most 100 rows.", body = ConferenceList,
         example = json!({"result": [schemas::conference()], "next_page_token": ""})),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    customer: Customer,
    page: Page,
) -> Result<Json<ConferenceList>, ApiError> {
    let state = &state;
    let what = (Source::Views(ViewKind::Conference, None), List::Conferences);
    let rows = lists::page(
        state,
        &Nodes::now(state),
        &customer.caller,
        what,
        (page.token.as_deref(), page.size),
        |listed| async move {
            let Listed::View(ViewId::Conference(id)) = listed else {
                return Ok(None);
            };
            let room = read(state, id).await?;
            Ok(room.and_then(|room| Conference::from_room(&room, customer.id)))
        },
    )
    .await?;
    Ok(Json(ConferenceList {
        result: rows.rows,
        next_page_token: rows.cursor,
    }))
}

/// Read a conference
#[utoipa::path(
    get, path = "/v1.0/conferences/{conference_id}", tag = "conferences (VoIPBIN)", operation_id = "getConference",
    params(ConferencePath),
    responses(
        (status = 200, description = "The current state.", body = Conference,
         example = json!(schemas::conference())),
        ReadFailures,
    )
)]
pub(super) async fn get(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conference>, ApiError> {
    let room = find(&state, &customer, id).await?;
    form(&state, &room)
}

/// Change a conference
///
/// The type cannot change. A new timeout counts from the creation. Its webhook is `conference.updated`.
#[utoipa::path(
    put, path = "/v1.0/conferences/{conference_id}", tag = "conferences (VoIPBIN)", operation_id = "updateConference",
    params(ConferencePath),
    request_body(content = VoipbinUpdate, example = json!({"name": "another", "timeout": 3600})),
    responses(
        (status = 200, description = "The changed conference.", body = Conference,
         example = json!(schemas::conference())),
        ReadFailures,
        (status = 409, description = "The conference is ending or over, or the gateway API created it, so its name cannot change.", body = Failure),
    )
)]
pub(super) async fn update(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    if fields.get("type").is_some() {
        return Err(ApiError::field("type", "it cannot be changed"));
    }
    let update = read_update(&state, &fields).await?;
    let update = UpdateRoom {
        update: Box::new(update),
        labels: LabelsUpdate::default(),
    };
    submit(&state, &customer, id, update, None).await?;
    respond_with(&state, &customer, id).await
}

/// End a conference
///
/// Its members go back to park; until all have left it is `terminating`. One that is already ending is returned
/// unchanged.
#[utoipa::path(
    delete, path = "/v1.0/conferences/{conference_id}", tag = "conferences (VoIPBIN)", operation_id = "deleteConference",
    params(ConferencePath),
    responses(
        (status = 200, description = "The conference is ending.", body = Conference,
         example = json!(schemas::conference())),
        ReadFailures,
    )
)]
pub(super) async fn delete(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conference>, ApiError> {
    let room = request::room(id).ok_or_else(|| state.refuse(&Refusal::RoomNotFound))?;
    let app = customer.caller.app.clone();
    let intent = Intent::new(Target::Room(room), app, DeleteRoom);
    match state.controller.submit(intent).await {
        Ok(accepted) => release(&*state.store, room, &typed::<DeleteRoom>(accepted)?).await,
        // It is ending, over, or does not exist.
        Err(IntentError::Refused(Refusal::RoomNotFound)) => {}
        Err(error) => return Err(state.failed(error)),
    }
    respond_with_room(&state, &customer, room).await
}

/// Record a conference
///
/// One recording at a time. Its webhook is `conference.recording.started` or `.failed`.
#[utoipa::path(
    post, path = "/v1.0/conferences/{conference_id}/recording_start", tag = "conferences (VoIPBIN)", operation_id = "startConferenceRecording",
    params(ConferencePath),
    request_body(content = VoipbinCommand, example = json!({})),
    responses(
        (status = 200, description = "The recording starts. Its id is the last of `recording_ids`, and `recording_id` unless the recording has already failed.", body = Conference,
         example = json!(schemas::conference())),
        ReadFailures,
        (status = 409, description = "The conference has no members, is already recorded, is ending or is over.", body = Failure),
    )
)]
pub(super) async fn recording_start(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    let command_uid = fields.parsed("command_uid")?;
    submit(
        &state,
        &customer,
        id,
        StartRecording::default(),
        command_uid,
    )
    .await?;
    respond_with(&state, &customer, id).await
}

/// Stop the recording of a conference
///
/// Its webhook is `conference.recording.stopped`.
#[utoipa::path(
    post, path = "/v1.0/conferences/{conference_id}/recording_stop", tag = "conferences (VoIPBIN)", operation_id = "stopConferenceRecording",
    params(ConferencePath),
    request_body(content = VoipbinCommand, example = json!({})),
    responses(
        (status = 200, description = "The recording is stopping.", body = Conference,
         example = json!(schemas::conference())),
        ReadFailures,
        (status = 409, description = "The conference is not recorded, is ending or is over.", body = Failure),
    )
)]
pub(super) async fn recording_stop(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    let command_uid = fields.parsed("command_uid")?;
    submit(&state, &customer, id, StopRecording, command_uid).await?;
    respond_with(&state, &customer, id).await
}

/// Reads and checks the fields that a create or update request may have.
async fn read_update(state: &Shared, fields: &Fields) -> Result<Update, ApiError> {
    let timeout = fields
        .integer("timeout")?
        .map(|seconds| {
            let fits = (0..=LONGEST_TIMEOUT).contains(&seconds);
            u32::try_from(seconds)
                .ok()
                .filter(|_| fits)
                .ok_or_else(|| ApiError::field("timeout", "expected 0 to 31536000 seconds"))
        })
        .transpose()?;
    let data = fields.object("data")?;
    if data.as_ref().is_some_and(|data| size(data) > MAX_DATA) {
        let why = format!("it is larger than {MAX_DATA} bytes");
        return Err(ApiError::field("data", why));
    }
    // The documentation uses both spellings.
    let post_actions = match (fields.get("post_action"), fields.get("post_actions")) {
        (Some(_), Some(_)) => {
            let why = "it is given as post_actions, too";
            return Err(ApiError::field("post_action", why));
        }
        (Some(_), None) => "post_action",
        (None, _) => "post_actions",
    };
    Ok(Update {
        name: text(fields, "name", LONGEST_NAME)?,
        detail: text(fields, "detail", LONGEST_DETAIL)?,
        data,
        timeout,
        pre_actions: actions(state, fields, "pre_actions").await?,
        post_actions: actions(state, fields, post_actions).await?,
        ..Update::default()
    })
}

fn size(value: &impl Serialize) -> usize {
    // A value that was parsed from JSON can be serialized.
    serde_json::to_string(value).map_or(usize::MAX, |text| text.len())
}

fn text(fields: &Fields, name: &str, longest: usize) -> Result<Option<String>, ApiError> {
    let text = fields.text(name)?;
    if text.is_some_and(|text| text.chars().count() > longest) {
        let why = format!("it is longer than {longest} characters");
        return Err(ApiError::field(name, why));
    }
    Ok(text.map(str::to_owned))
}

/// Parses a list of actions and checks that a node can run them.
async fn actions(
    state: &Shared,
    fields: &Fields,
    name: &str,
) -> Result<Option<Vec<Action>>, ApiError> {
    let Some(list): Option<Vec<Value>> = fields.list(name)? else {
        return Ok(None);
    };
    let wrong = |index: usize, why: &dyn std::fmt::Display| {
        ApiError::field(&format!("{name}[{index}]"), why)
    };
    let list = action::parse_list(list).map_err(|e| wrong(e.index, &e.why))?;
    if size(&list) > MAX_ACTIONS {
        let why = format!("they are larger than {MAX_ACTIONS} bytes");
        return Err(ApiError::field(name, why));
    }
    let speaks = Nodes::now(state).iter().any(|node| node.speaks);
    let rules = &state.settings.play;
    for (index, action) in list.iter().enumerate() {
        if matches!(action.task(), Task::Talk(_)) && !speaks {
            return Err(wrong(index, &"no node has the speech engine"));
        }
        let file = |(n, why): (usize, String)| wrong(index, &format!("stream_urls[{n}]: {why}"));
        let names = rules.names(action.urls()).map_err(file)?;
        rules.resolve_all(names).await.map_err(file)?;
    }
    Ok(Some(list))
}

async fn read(state: &Shared, id: RoomId) -> Result<Option<RoomState>, StoreError> {
    let record = state.store.read(EntityId::Room(id)).await?;
    record.map(|record| decode_room(id, &record)).transpose()
}

/// Finds the conference, also after its end: 404 if it does not exist, 403 if it belongs to another app.
pub(super) async fn find(
    state: &Shared,
    customer: &Customer,
    id: Uuid,
) -> Result<RoomState, ApiError> {
    let not_found = || state.refuse(&Refusal::RoomNotFound);
    let id = request::room(id).ok_or_else(not_found)?;
    let room = read(state, id).await?.ok_or_else(not_found)?;
    let registration = room.registration().ok_or_else(not_found)?;
    if registration.app == customer.caller.app {
        Ok(room)
    } else {
        Err(state.refuse(&Refusal::ForeignRoom))
    }
}

/// Submits an action on the conference with this id.
async fn submit<A: TypedAction>(
    state: &Shared,
    customer: &Customer,
    id: Uuid,
    action: A,
    command_uid: Option<CommandUid>,
) -> Result<A::Accepted, ApiError> {
    let room = request::room(id).ok_or_else(|| state.refuse(&Refusal::RoomNotFound))?;
    let intent = Intent::new(Target::Room(room), customer.caller.app.clone(), action);
    let accepted = state.controller.submit(intent.with_uid(command_uid)).await;
    match accepted {
        Ok(accepted) => typed::<A>(accepted),
        // The controller does not find an ending conference, but this API does.
        Err(IntentError::Refused(Refusal::RoomNotFound)) => {
            find(state, customer, id).await?;
            Err(ending())
        }
        Err(error) => Err(state.failed(error)),
    }
}

pub(super) fn ending() -> ApiError {
    let words = "the conference is ending or over";
    ApiError::new(StatusCode::CONFLICT, words)
}

async fn respond_with_room(
    state: &Shared,
    customer: &Customer,
    id: RoomId,
) -> Result<Json<Conference>, ApiError> {
    respond_with(state, customer, id.uuid()).await
}

async fn respond_with(
    state: &Shared,
    customer: &Customer,
    id: Uuid,
) -> Result<Json<Conference>, ApiError> {
    let room = find(state, customer, id).await?;
    form(state, &room)
}

fn form(state: &Shared, room: &RoomState) -> Result<Json<Conference>, ApiError> {
    let customer = room.registration().map(|r| customer_id(state, &r.app));
    let form = Conference::from_room(room, customer.unwrap_or_default());
    let form = form.ok_or_else(|| ApiError::internal(&"a conference without an owner"))?;
    Ok(Json(form))
}
