//! `/conferencecalls`: memberships of calls in conferences, also those that are over.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::http::body::AnyFields;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::lists::{self, Listed, Source};
use crate::http::openapi::schemas::{Failure, ReadFailures};
use crate::http::ownership::{Nodes, typed};
use crate::http::state::Shared;
use crate::reconciler::{Intent, IntentError, Refusal};
use crate::store::view::{CallView, decode_call};
use crate::store::{StoreError, ViewId, ViewKind};
use roomkeeper_core::call::CallState;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, ChannelId, MemberId, NodeId};
use roomkeeper_core::intent::{Join, JoinAccepted, Kick};
use roomkeeper_core::room::MembershipStatus;

use super::auth::Customer;
use super::conferences;
use super::forms::Conferencecall;
use super::request::{self, Page, PathUuid};
use super::schemas::{
    self, CONFERENCE, ConferencecallPath, NewConferencecall, OfConference, VoipbinPage,
};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
}

#[derive(Serialize, ToSchema)]
pub(super) struct ConferencecallList {
    result: Vec<Conferencecall>,
    next_page_token: String,
}

/// Join a call to a conference
///
/// The call runs the conference's `pre_actions` first. Its webhook is `conference.member.joined` or `.join_failed`.
#[utoipa::path(
    post, path = "/v1.0/conferencecalls", tag = "conferencecalls (VoIPBIN)", operation_id = "createConferencecall",
    request_body(content = NewConferencecall, example = json!({"conference_id": CONFERENCE, "reference_type": "call", "reference_id": "7cb70145-a20a-4070-8b23-9131410d301d"})),
    responses(
        (status = 200, description = "The conferencecall is `joining`, or the call is already in the conference.", body = Conferencecall,
         example = json!(schemas::conferencecall())),
        (status = 403, description = "The conference or the call belongs to another app.", body = Failure),
        (status = 404, description = "The conference or the call does not exist.", body = Failure),
        (status = 409, description = "The call is in another conference or on another node, or the conference is full, ending or over.", body = Failure),
    )
)]
pub(super) async fn create(
    State(state): State<Shared>,
    customer: Customer,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conferencecall>, ApiError> {
    let uuid = |name: &str| {
        let text = fields.text(name)?;
        let text = text.ok_or_else(|| ApiError::field(name, "is required"))?;
        request::uuid(text).ok_or_else(|| ApiError::field(name, "expected a uuid"))
    };
    let conference = uuid("conference_id")?;
    match fields.text("reference_type")? {
        Some("call") => {}
        Some(_) => return Err(ApiError::field("reference_type", "expected call")),
        None => return Err(ApiError::field("reference_type", "is required")),
    }
    let channel = ChannelId::new(uuid("reference_id")?);
    let command_uid = fields.parsed("command_uid")?;
    let room = request::room(conference);
    let room = room.ok_or_else(|| state.refuse(&Refusal::RoomNotFound))?;
    let call = find_call(&state, room.node(), channel).await?;
    let target = Target::Member {
        room,
        call: call.id(),
    };
    let join = Join::default();
    let intent = Intent::new(target, customer.caller.app.clone(), join).with_uid(command_uid);
    let joined = match state.controller.submit(intent).await {
        Ok(accepted) => typed::<Join>(accepted)?,
        // The controller does not find an ending conference, but this API does. Ownership of the call is checked first.
        Err(IntentError::Refused(Refusal::RoomNotFound)) => {
            conferences::find(&state, &customer, conference).await?;
            state.own_session(&customer.caller, &call)?;
            return Err(conferences::ending());
        }
        Err(error) => return Err(state.failed(error)),
    };
    let (JoinAccepted::Joining { member, .. } | JoinAccepted::AlreadyJoined { member, .. }) =
        joined;
    let view = find(&state, &customer, member.uuid()).await?;
    Ok(Json(Conferencecall::from_view(
        member.uuid(),
        &view.1,
        customer.id,
    )))
}

/// Finds the call on the conference's node, or on another one, which the controller then refuses.
async fn find_call(
    state: &Shared,
    first: NodeId,
    channel: ChannelId,
) -> Result<CallState, ApiError> {
    let nodes = Nodes::now(state);
    let others = nodes.iter().map(|node| node.id).filter(|id| *id != first);
    for node in std::iter::once(first).chain(others) {
        let session = CallId::new(node, channel);
        if let Some(call) = state.live_session(session).await? {
            return Ok(call);
        }
    }
    Err(state.refuse(&Refusal::CallNotFound))
}

/// List conferencecalls
///
/// Ordered by creation time. Ended ones are listed for a limited time.
#[utoipa::path(
    get, path = "/v1.0/conferencecalls", tag = "conferencecalls (VoIPBIN)", operation_id = "listConferencecalls",
    params(VoipbinPage, OfConference),
    responses(
        (status = 200, description = "A page of at most 100 rows.", body = ConferencecallList,
         example = json!({"result": [schemas::conferencecall()], "next_page_token": ""})),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    customer: Customer,
    page: Page,
) -> Result<Json<ConferencecallList>, ApiError> {
    let room = match page.conference.map(request::room) {
        None => None,
        Some(Some(room)) => Some(room),
        // No conference has this id, so it has no calls.
        Some(None) => return Ok(Json(ConferencecallList::empty())),
    };
    let (state, customer) = (&state, &customer);
    let foreign = &AtomicBool::new(false);
    let rows = lists::page(
        state,
        &Nodes::now(state),
        &customer.caller,
        (Source::Views(ViewKind::Call, room), List::Calls(room)),
        (page.token.as_deref(), page.size),
        |listed| async move {
            let Listed::View(ViewId::Call(id)) = listed else {
                return Ok(None);
            };
            let view = read(state, id).await?;
            let there = view.is_some();
            let own = view.filter(|view| view.app == customer.caller.app);
            foreign.fetch_or(there && own.is_none(), Ordering::Relaxed);
            Ok(own.map(|view| Conferencecall::from_view(id.uuid(), &view, customer.id)))
        },
    )
    .await?;
    // Another app's conference reveals nothing, not even the length of its list.
    let cursor = if foreign.load(Ordering::Relaxed) {
        String::new()
    } else {
        rows.cursor
    };
    Ok(Json(ConferencecallList {
        result: rows.rows,
        next_page_token: cursor,
    }))
}

/// Read a conferencecall
#[utoipa::path(
    get, path = "/v1.0/conferencecalls/{conferencecall_id}", tag = "conferencecalls (VoIPBIN)", operation_id = "getConferencecall",
    params(ConferencecallPath),
    responses(
        (status = 200, description = "The current state.", body = Conferencecall,
         example = json!(schemas::conferencecall())),
        ReadFailures,
    )
)]
pub(super) async fn get(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conferencecall>, ApiError> {
    let (_, view) = find(&state, &customer, id).await?;
    Ok(Json(Conferencecall::from_view(id, &view, customer.id)))
}

/// Kick a call out of its conference
///
/// One that is already `leaving` or `leaved` is returned unchanged.
#[utoipa::path(
    delete, path = "/v1.0/conferencecalls/{conferencecall_id}", tag = "conferencecalls (VoIPBIN)", operation_id = "deleteConferencecall",
    params(ConferencecallPath),
    responses(
        (status = 200, description = "The conferencecall is `leaving`; one that had not joined yet is `leaved`.", body = Conferencecall,
         example = json!(schemas::conferencecall())),
        ReadFailures,
    )
)]
pub(super) async fn delete(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conferencecall>, ApiError> {
    let (member, mut view) = find(&state, &customer, id).await?;
    if matches!(
        view.status,
        MembershipStatus::Joining | MembershipStatus::Joined
    ) {
        let target = Target::Member {
            room: view.room,
            call: view.session,
        };
        let kick = Kick {
            member: Some(member),
        };
        let intent = Intent::new(target, customer.caller.app.clone(), kick);
        match state.controller.submit(intent).await {
            // The call has left meanwhile, and its conference may have ended.
            Ok(_) | Err(IntentError::Refused(Refusal::NotInRoom | Refusal::RoomNotFound)) => {}
            Err(error) => return Err(state.failed(error)),
        }
        view = find(&state, &customer, id).await?.1;
    }
    Ok(Json(Conferencecall::from_view(id, &view, customer.id)))
}

async fn read(state: &Shared, id: MemberId) -> Result<Option<CallView>, StoreError> {
    let views = state
        .store
        .read_views(id.node(), &[ViewId::Call(id)])
        .await?;
    let body = views.into_iter().next().flatten();
    body.map(|body| decode_call(id, &body)).transpose()
}

async fn find(
    state: &Shared,
    customer: &Customer,
    id: Uuid,
) -> Result<(MemberId, CallView), ApiError> {
    let not_found = || ApiError::not_found("conferencecall not found");
    let id: MemberId = id.to_string().parse().map_err(|_| not_found())?;
    let view = read(state, id).await?.ok_or_else(not_found)?;
    if view.app == customer.caller.app {
        Ok((id, view))
    } else {
        Err(state.foreign("conferencecall"))
    }
}

impl ConferencecallList {
    const fn empty() -> Self {
        Self {
            result: Vec::new(),
            next_page_token: String::new(),
        }
    }
}
