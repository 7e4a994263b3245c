//! `/conferencecalls`: stays of calls in conferences, also those that are over.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Shared;
use crate::api::access::Nodes;
use crate::api::body::AnyFields;
use crate::api::cursor::List;
use crate::api::error::ApiError;
use crate::api::lists::{self, Listed, Source};
use crate::ids::{ChannelId, MemberId, NodeId, SessionId};
use crate::reconciler::{Accepted, Intent, IntentError, Refusal};
use crate::room::CallStatus;
use crate::session::SessionState;
use crate::store::view::{CallView, decode_call};
use crate::store::{StoreError, ViewId, ViewKind};

use super::auth::Customer;
use super::conferences;
use super::forms::Conferencecall;
use super::request::{self, Page, PathUuid};

#[derive(Serialize, ToSchema)]
pub(super) struct ConferencecallList {
    result: Vec<Conferencecall>,
    next_page_token: String,
}

/// `POST /conferencecalls`: a call joins a conference.
pub(super) async fn create(
    State(state): State<Shared>,
    customer: Customer,
    AnyFields(fields): AnyFields,
) -> Result<Json<Conferencecall>, ApiError> {
    let uuid = |name: &str| {
        let text = fields.text(name)?;
        let text = text.ok_or_else(|| ApiError::field(name, "it is required"))?;
        request::uuid(text).ok_or_else(|| ApiError::field(name, "expected a uuid"))
    };
    let conference = uuid("conference_id")?;
    match fields.text("reference_type")? {
        Some("call") => {}
        Some(_) => return Err(ApiError::field("reference_type", "expected call")),
        None => return Err(ApiError::field("reference_type", "it is required")),
    }
    let channel = ChannelId::new(uuid("reference_id")?);
    let command_uid = fields.parsed("command_uid")?;
    let room = conferences::existing(&state, conference).await?;
    let call = find_call(&state, room.id().node(), channel).await?;
    conferences::check_own(&state, &customer, &room)?;
    state.own_session(&customer.caller, &call)?;
    conferences::check_open(&room)?;
    let intent = Intent::Join {
        session: call.id(),
        room: room.id(),
        app: customer.caller.app.clone(),
        muted: None,
        command_uid,
    };
    let accepted = conferences::submit(&state, intent).await?;
    let (Accepted::Joining { member, .. } | Accepted::AlreadyJoined { member, .. }) = accepted
    else {
        let why = format!("a join was answered {accepted:?}");
        return Err(ApiError::internal(&why));
    };
    let view = find(&state, &customer, member.uuid()).await?;
    Ok(Json(Conferencecall::of(
        member.uuid(),
        &view.1,
        customer.id,
    )))
}

/// The call, on the node of the conference or else on another one, which is for the domain to refuse.
async fn find_call(
    state: &Shared,
    first: NodeId,
    channel: ChannelId,
) -> Result<SessionState, ApiError> {
    let nodes = Nodes::now(state);
    let others = nodes.iter().map(|node| node.id).filter(|id| *id != first);
    for node in std::iter::once(first).chain(others) {
        let session = SessionId::new(node, channel);
        if let Some(call) = state.live_session(session).await? {
            return Ok(call);
        }
    }
    Err(state.refuse(&Refusal::SessionNotFound))
}

/// `GET /conferencecalls`.
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
            Ok(own.map(|view| Conferencecall::of(id.uuid(), &view, customer.id)))
        },
    )
    .await?;
    // Of another's conference there is nothing to see, not even how long its list is.
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

/// `GET /conferencecalls/{conferencecall_id}`.
pub(super) async fn get(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conferencecall>, ApiError> {
    let (_, view) = find(&state, &customer, id).await?;
    Ok(Json(Conferencecall::of(id, &view, customer.id)))
}

/// `DELETE /conferencecalls/{conferencecall_id}`. One that is leaving or has left is answered as it is.
pub(super) async fn delete(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Conferencecall>, ApiError> {
    let (member, mut view) = find(&state, &customer, id).await?;
    if matches!(view.status, CallStatus::Joining | CallStatus::Joined) {
        let intent = Intent::Kick {
            session: view.session,
            room: view.room,
            member: Some(member),
            app: customer.caller.app.clone(),
            command_uid: None,
        };
        match state.controller.submit(intent).await {
            // It left meanwhile, and maybe its conference with it.
            Ok(_) | Err(IntentError::Refused(Refusal::NotInRoom | Refusal::RoomNotFound)) => {}
            Err(error) => return Err(state.failed(error)),
        }
        view = find(&state, &customer, id).await?.1;
    }
    Ok(Json(Conferencecall::of(id, &view, customer.id)))
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
