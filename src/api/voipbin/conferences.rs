//! `/conferences`: made, read, changed, ended, recorded.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::action::{self, Action, Task};
use crate::api::Shared;
use crate::api::access::Nodes;
use crate::api::body::{AnyFields, Fields};
use crate::api::cursor::List;
use crate::api::error::ApiError;
use crate::api::gateway::release;
use crate::api::lists::{self, Listed, Source};
use crate::api::placement::place;
use crate::ids::{AppId, CommandUid, NodeId, RoomId, SessionId};
use crate::reconciler::{Accepted, Intent, IntentError, Refusal};
use crate::room::{Details, Kind, Origin, RoomState, Update};
use crate::store::record::decode_room;
use crate::store::{EntityId, StoreError, ViewId, ViewKind};

use super::auth::{Customer, customer_id};
use super::forms::Conference;
use super::request::{self, Page, PathUuid};

/// The longest name, in characters.
const LONGEST_NAME: usize = 255;

/// The longest description, in characters.
const LONGEST_DETAIL: usize = 4_096;

/// The most that is kept as `data`, in bytes of JSON.
const MOST_DATA: usize = 16 * 1024;

/// The most that all actions of a conference may be, in bytes of JSON.
const MOST_ACTIONS: usize = 64 * 1024;

/// The longest timeout, in seconds: a year.
const LONGEST_TIMEOUT: i64 = 31_536_000;

#[derive(Serialize, ToSchema)]
pub(super) struct ConferenceList {
    result: Vec<Conference>,
    next_page_token: String,
}

/// `POST /conferences`.
pub(super) async fn create(
    State(state): State<Shared>,
    customer: Customer,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    let kind = match fields.text("type")? {
        None | Some("conference") => Kind::Conference,
        Some("connect") => Kind::Connect,
        Some(_) => return Err(ApiError::field("type", "expected conference or connect")),
    };
    let node: Option<NodeId> = fields.parsed("node")?;
    let session: Option<SessionId> = fields.parsed("session")?;
    let said = said(&state, &fields).await?;
    let node = place(&state, &customer.caller, node, session).await?;
    let room = RoomId::fresh(node, (state.new_id)());
    let intent = Intent::CreateRoom {
        room,
        app: customer.caller.app.clone(),
        name: said.name.unwrap_or_default(),
        origin: Origin::Voipbin,
        kind,
        details: Box::new(Details {
            detail: said.detail.unwrap_or_default(),
            data: said.data.unwrap_or_default(),
            timeout: said.timeout.unwrap_or_default(),
            pre_actions: said.pre_actions.unwrap_or_default(),
            post_actions: said.post_actions.unwrap_or_default(),
        }),
    };
    state.submit(intent).await?;
    shown(&state, &customer, room).await
}

/// `GET /conferences`.
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
            Ok(room.and_then(|room| Conference::of(&room, customer.id)))
        },
    )
    .await?;
    Ok(Json(ConferenceList {
        result: rows.rows,
        next_page_token: rows.cursor,
    }))
}

/// `GET /conferences/{conference_id}`.
pub(super) async fn get(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conference>, ApiError> {
    let room = find(&state, &customer, id).await?;
    form(&state, &room)
}

/// `PUT /conferences/{conference_id}`.
pub(super) async fn update(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    if fields.get("type").is_some() {
        return Err(ApiError::field("type", "it cannot be changed"));
    }
    let said = said(&state, &fields).await?;
    let room = find_open(&state, &customer, id).await?;
    // The gateway API finds it by its name, and promises that there is one of it.
    let named = |name: &String| {
        let registration = room.registration();
        registration.is_some_and(|r| r.origin == Origin::Gateway && r.name != *name)
    };
    if said.name.as_ref().is_some_and(named) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "the name of a conference that was made through the gateway API does not change",
        ));
    }
    let intent = Intent::UpdateRoom {
        room: room.id(),
        app: customer.caller.app.clone(),
        update: Box::new(said),
    };
    submit(&state, intent).await?;
    shown(&state, &customer, room.id()).await
}

/// `DELETE /conferences/{conference_id}`. One that ends already is answered as it is.
pub(super) async fn delete(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conference>, ApiError> {
    let room = find(&state, &customer, id).await?;
    if room.is_open() {
        let intent = Intent::DeleteRoom {
            room: room.id(),
            app: customer.caller.app.clone(),
        };
        match state.controller.submit(intent).await {
            // It ended meanwhile: its time was over, or another was faster.
            Ok(_) | Err(IntentError::Refused(Refusal::RoomNotFound)) => {}
            Err(error) => return Err(state.failed(error)),
        }
        if let Some(registration) = room.registration() {
            release(&state, registration, room.id()).await;
        }
    }
    shown(&state, &customer, room.id()).await
}

/// `POST /conferences/{conference_id}/recording_start`.
pub(super) async fn recording_start(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    record(&state, &customer, id, &fields, Intent::record_start).await
}

/// `POST /conferences/{conference_id}/recording_stop`.
pub(super) async fn recording_stop(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conference>, ApiError> {
    record(&state, &customer, id, &fields, Intent::record_stop).await
}

async fn record(
    state: &Shared,
    customer: &Customer,
    id: Uuid,
    fields: &Fields,
    intent: fn(RoomId, AppId, Option<CommandUid>) -> Intent,
) -> Result<Json<Conference>, ApiError> {
    let command_uid = fields.parsed("command_uid")?;
    let room = find_open(state, customer, id).await?.id();
    submit(
        state,
        intent(room, customer.caller.app.clone(), command_uid),
    )
    .await?;
    shown(state, customer, room).await
}

// ---- what is said of a conference -------------------------------------------------------------------------------------

async fn said(state: &Shared, fields: &Fields) -> Result<Update, ApiError> {
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
    if data.as_ref().is_some_and(|data| size(data) > MOST_DATA) {
        let why = format!("it is larger than {MOST_DATA} bytes");
        return Err(ApiError::field("data", why));
    }
    // A document has it in both spellings.
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
    })
}

fn size(value: &impl Serialize) -> usize {
    // What came as JSON goes as JSON.
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

/// A list of actions that can be carried out here.
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
    let list = action::read(list).map_err(|e| wrong(e.index, &e.why))?;
    if size(&list) > MOST_ACTIONS {
        let why = format!("they are larger than {MOST_ACTIONS} bytes");
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

// ---- reading ----------------------------------------------------------------------------------------------------------

async fn read(state: &Shared, id: RoomId) -> Result<Option<RoomState>, StoreError> {
    let record = state.store.read(EntityId::Room(id)).await?;
    record.map(|record| decode_room(id, &record)).transpose()
}

/// The conference, also when it is over: 404 when there is none, 403 when it is another's.
async fn find(state: &Shared, customer: &Customer, id: Uuid) -> Result<RoomState, ApiError> {
    let room = existing(state, id).await?;
    check_own(state, customer, &room)?;
    Ok(room)
}

/// The conference, whoever's it is: 404 when there is none.
pub(super) async fn existing(state: &Shared, id: Uuid) -> Result<RoomState, ApiError> {
    let not_found = || state.refuse(&Refusal::RoomNotFound);
    let id = request::room(id).ok_or_else(not_found)?;
    let room = read(state, id).await?.ok_or_else(not_found)?;
    // One that is nobody's is not there for anybody.
    if room.registration().is_none() {
        return Err(not_found());
    }
    Ok(room)
}

/// 403 when the conference is another's.
pub(super) fn check_own(
    state: &Shared,
    customer: &Customer,
    room: &RoomState,
) -> Result<(), ApiError> {
    if room
        .registration()
        .is_some_and(|r| r.app == customer.caller.app)
    {
        Ok(())
    } else {
        Err(state.refuse(&Refusal::ForeignRoom))
    }
}

/// The conference, which must not be ending: 409.
async fn find_open(state: &Shared, customer: &Customer, id: Uuid) -> Result<RoomState, ApiError> {
    let room = find(state, customer, id).await?;
    check_open(&room)?;
    Ok(room)
}

pub(super) fn check_open(room: &RoomState) -> Result<(), ApiError> {
    if room.is_open() {
        Ok(())
    } else {
        Err(ending())
    }
}

fn ending() -> ApiError {
    let words = "the conference is ending, or over";
    ApiError::new(StatusCode::CONFLICT, words)
}

/// The one domain call, about a conference that was open a moment ago. The domain does not know those that are ending;
/// here they can still be read.
pub(super) async fn submit(state: &Shared, intent: Intent) -> Result<Accepted, ApiError> {
    match state.controller.submit(intent).await {
        Err(IntentError::Refused(Refusal::RoomNotFound)) => Err(ending()),
        answer => answer.map_err(|error| state.failed(error)),
    }
}

async fn shown(
    state: &Shared,
    customer: &Customer,
    id: RoomId,
) -> Result<Json<Conference>, ApiError> {
    let room = find(state, customer, id.uuid()).await?;
    form(state, &room)
}

fn form(state: &Shared, room: &RoomState) -> Result<Json<Conference>, ApiError> {
    let customer = room.registration().map(|r| customer_id(state, &r.app));
    let form = Conference::of(room, customer.unwrap_or_default());
    let form = form.ok_or_else(|| ApiError::internal(&"a conference that is nobody's"))?;
    Ok(Json(form))
}
