//! `PATCH /conferences/{room_id}` and `PATCH /conferences/{room_id}/members/{uuid}`: the settings of rooms and members.
//!
//! Owns the fields of settings in bodies. A setting is a line in a parse function and in the schema of the body.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::{
    CommandUidText, Failure, MemberRole, RoomCommandFailures, RoomPath, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{UpdateAccepted, UpdateMember, UpdateRoom};
use roomkeeper_core::labels::{Labels, LabelsUpdate};
use roomkeeper_core::room::{
    MemberSettings, MemberUpdate, RoomSettings, RoomSettingsUpdate, Sparse, Update,
};

use super::command::{Command, accepted};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(update_room))
        .routes(routes!(update_member))
}

/// Changed settings of a conference. Omitted settings stay.
#[derive(ToSchema)]
#[schema(as = RoomUpdate)]
#[allow(dead_code, reason = "describes the body")]
struct RoomUpdateBody {
    /// New values by key; `null` removes a label. Other labels stay.
    labels: Option<BTreeMap<String, Option<String>>>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// Changed settings of a member. Omitted settings stay.
#[derive(ToSchema)]
#[schema(as = MemberUpdate)]
#[allow(dead_code, reason = "describes the body")]
struct MemberUpdateBody {
    /// New values by key; `null` removes a label. Other labels stay.
    labels: Option<BTreeMap<String, Option<String>>>,
    role: Option<MemberRole>,
    /// `true`: the conference ends when this member leaves, other than by a move.
    end_on_exit: Option<bool>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The result of a change of settings.
#[derive(ToSchema)]
#[schema(as = UpdateStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum UpdateStatusText {
    Updated,
    Unchanged,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UpdateResult)]
pub(super) struct Updated {
    #[schema(value_type = UpdateStatusText)]
    status: &'static str,
}

/// Parses the settings of a conference, except its labels.
fn room_update(_fields: &Fields) -> Result<RoomSettingsUpdate, ApiError> {
    Ok(RoomSettingsUpdate { labels: None })
}

/// Parses the settings of a member, except its labels.
fn member_update(fields: &Fields) -> Result<MemberUpdate, ApiError> {
    Ok(MemberUpdate {
        labels: None,
        role: fields.parsed("role")?,
        end_on_exit: fields.boolean("end_on_exit")?,
    })
}

/// Parses the settings of a new conference.
pub(super) fn room_settings(fields: &Fields) -> Result<Sparse<RoomSettings>, ApiError> {
    let mut settings: Sparse<RoomSettings> = Sparse::default();
    settings.apply(RoomSettingsUpdate {
        labels: Some(new_labels(fields)?),
        ..room_update(fields)?
    });
    Ok(settings)
}

/// Parses the settings of a call that joins.
pub(super) fn member_settings(fields: &Fields) -> Result<Sparse<MemberSettings>, ApiError> {
    let mut settings: Sparse<MemberSettings> = Sparse::default();
    settings.apply(MemberUpdate {
        labels: Some(new_labels(fields)?),
        ..member_update(fields)?
    });
    Ok(settings)
}

fn new_labels(fields: &Fields) -> Result<Labels, ApiError> {
    let labels = Labels::default().updated(&labels(fields)?);
    labels.map_err(|error| ApiError::field("labels", error))
}

/// Parses the changed labels.
fn labels(fields: &Fields) -> Result<LabelsUpdate, ApiError> {
    let mut update = LabelsUpdate::default();
    for (key, value) in fields.object("labels")?.into_iter().flatten() {
        let wrong = |why: &dyn std::fmt::Display| ApiError::field("labels", why);
        let text = value.as_str();
        if text.is_none() && !value.is_null() {
            return Err(wrong(&"expected an object of strings"));
        }
        update.put(&key, text).map_err(|error| wrong(&error))?;
    }
    Ok(update)
}

/// Change the settings of a conference
///
/// Its webhook is `conference.updated` with the changed settings.
#[utoipa::path(
    patch, path = "/api/v1/conferences/{room_id}", tag = "conferences", operation_id = "updateRoom",
    params(RoomPath),
    request_body(content = RoomUpdateBody, example = json!({"labels": {"team": "sales"}})),
    responses(
        (status = 202, description = "`updated`: the webhook reports the change. `unchanged`: the conference had these settings.", body = Updated,
         example = json!({"status": "updated"})),
        RoomCommandFailures,
        (status = 409, description = "The conference would have more than 16 labels, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn update_room(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let update = UpdateRoom {
        update: Box::new(Update {
            settings: room_update(&fields)?,
            ..Update::default()
        }),
        labels: labels(&fields)?,
    };
    Command::new(caller, Target::Room(room), update, "update", &fields)?
        .with_fresh_uid(&state)?
        .run(&state, render)
        .await
}

/// Change the settings of a member
///
/// Its webhook is `conference.member.updated` with the changed settings.
#[utoipa::path(
    patch, path = "/api/v1/conferences/{room_id}/members/{uuid}", tag = "conferences", operation_id = "updateMember",
    params(RoomPath, SessionPath),
    request_body(content = MemberUpdateBody, example = json!({"labels": {"seat": "12"}})),
    responses(
        (status = 202, description = "`updated`: the webhook reports the change. `unchanged`: the member had these settings.", body = Updated,
         example = json!({"status": "updated"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is still joining or would have more than 16 labels, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn update_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let update = UpdateMember {
        update: Box::new(member_update(&fields)?),
        labels: labels(&fields)?,
    };
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/update");
    Command::new(caller, target, update, &route, &fields)?
        .with_fresh_uid(&state)?
        .run(&state, render)
        .await
}

fn render(update: UpdateAccepted) -> Result<StoredAnswer, ApiError> {
    let status = match update {
        UpdateAccepted::Updated => "updated",
        UpdateAccepted::Unchanged => "unchanged",
    };
    accepted(&Updated { status })
}
