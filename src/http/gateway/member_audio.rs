//! `/conferences/{room_id}/members/{uuid}/hold`, `/unhold`, `/play` and `/stop`: the sound that one member alone hears.

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::{OPERATION, ROOM};
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, RoomCommandFailures, RoomPath, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{HoldAccepted, Play, SetHold, Stop};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::Media;

use super::command::{Command, accepted};
use super::{commands, playback};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(hold))
        .routes(routes!(unhold))
        .routes(routes!(play))
        .routes(routes!(stop))
}

/// The music on hold.
#[derive(ToSchema)]
#[schema(as = Hold)]
#[allow(dead_code, reason = "describes the body")]
struct HoldBody {
    /// http or https URL of a file that repeats until the member is unheld; if omitted, the member hears silence.
    music_url: Option<String>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// Put a member on hold
///
/// The member neither hears the conference nor is heard. It hears `music_url`, which repeats until the member is unheld, or
/// silence: without `music_url`, and while the file cannot be played, which is tried every 30 seconds. Music shorter than two
/// seconds repeats every two seconds. Files that are played to the member come before the music. Its webhook is
/// `conference.member.held`. The states `muted` and `deaf` stay as they are. While the member is held, `mute` and `unmute` work at
/// once; `deaf` and `undeaf` are confirmed at once and take effect when it is unheld. A member that leaves and joins again is not
/// held.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/hold", tag = "conferences", operation_id = "holdMember",
    params(RoomPath, SessionPath),
    request_body(content = HoldBody, example = json!({"music_url": "https://cdn.example.com/music.wav"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = commands::Status,
         example = json!({"status": "held", "room_id": ROOM})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is already on hold or still joining, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn hold(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let bad_music = |why: &dyn std::fmt::Display| ApiError::field("music_url", why);
    let music = fields.text("music_url")?.map(PlayUrl::new).transpose();
    let music = music.map_err(|why| bad_music(&why))?;
    let rules = state.settings.play.clone();
    let names = rules.names(&music).map_err(|(_, why)| bad_music(&why))?;
    // Names are resolved only for a caller who may hold the member, and not for a repeated command.
    let names_resolve = async move {
        let resolved = rules.resolve_all(names).await;
        resolved.map_err(|(_, why)| ApiError::field("music_url", why))
    };
    let set = SetHold { on: true, music };
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/hold");
    Command::new(caller, target, set, &route, &fields)?
        .with_fresh_uid(&state)?
        .checked_by(names_resolve)
        .run(&state, render_hold)
        .await
}

/// Take a member off hold
///
/// The member hears the conference again, unless it is deaf, and is heard, unless it is muted. Everything that is played to the
/// member stops, each operation with a `conference.member.play.stopped`. Its webhook is `conference.member.unheld`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/unhold", tag = "conferences", operation_id = "unholdMember",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "unhold-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = commands::Status,
         example = json!({"status": "unheld", "room_id": ROOM})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is not on hold or still joining, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn unhold(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let set = SetHold {
        on: false,
        music: None,
    };
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/unhold");
    Command::new(caller, target, set, &route, &fields)?
        .with_fresh_uid(&state)?
        .run(&state, render_hold)
        .await
}

/// Play files to one member
///
/// Only the member hears the files, over the sound of the conference, also if it is deaf. They are queued after those that
/// already play to it. On hold, they interrupt the music, which begins anew after them. The webhook
/// `conference.member.play.started` comes at once, `conference.member.play.finished` after the last file, or
/// `conference.member.play.stopped` if the member leaves or is unheld first.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/play", tag = "playback", operation_id = "startMemberPlayback",
    params(RoomPath, SessionPath),
    request_body(content = playback::PlayBody, example = json!({"urls": ["https://cdn.example.com/announcement.wav"]})),
    responses(
        (status = 202, description = "The command is accepted.", body = playback::Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is still joining, its playback queue is full (16 operations, 32 KiB of URLs and texts), or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn play(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let urls = playback::urls(&fields)?;
    let names_resolve = playback::names_resolve(&state, &urls)?;
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/play");
    let media = urls.into_iter().map(Media::Url).collect();
    Command::new(caller, target, Play { media }, &route, &fields)?
        .checked_by(names_resolve)
        .run(&state, playback::render_play)
        .await
}

/// Stop all playback to one member
///
/// Its webhook is `conference.member.play.stopped`, one for each operation. If nothing plays, `operation_id` is empty. Music on
/// hold goes on.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/stop", tag = "playback", operation_id = "stopMemberPlayback",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "stop-1"})),
    responses(
        (status = 202, description = "The command is accepted.", body = playback::Operation,
         example = json!({"operation_id": OPERATION, "status": "stopped"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is still joining, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/stop");
    Command::new(caller, target, Stop, &route, &fields)?
        .run(&state, playback::render_stop)
        .await
}

fn render_hold(set: HoldAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&commands::Status {
        status: if set.on { "held" } else { "unheld" },
        room_id: set.room.to_string(),
    })
}
