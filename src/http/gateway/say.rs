//! `/conferences/{room_id}/say` and `/conferences/{room_id}/members/{uuid}/say`: texts that FreeSWITCH speaks.
//!
//! A text is an operation of the playback, as files are.

use std::future::Future;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::cooldown::CONF_PLAY;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::OPERATION;
use crate::http::openapi::schemas::{
    CommandUidText, Failure, RoomCommandFailures, RoomPath, SessionPath,
};
use crate::http::ownership::Nodes;
use crate::http::request::PathId;
use crate::http::state::{ApiState, Shared};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, NodeId, RoomId};
use roomkeeper_core::intent::Play;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{Announcement, CountAnnouncement, Media, Spoken};
use roomkeeper_core::speech::{CountTemplate, Speech, VoiceName};

use super::command::Command;
use super::playback;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(say))
        .routes(routes!(say_member))
}

/// A text to speak.
#[derive(ToSchema)]
#[schema(as = Say)]
#[allow(dead_code, reason = "describes the body")]
pub(super) struct SayBody {
    /// At most 4,096 bytes. FreeSWITCH reads no markup in it.
    #[schema(min_length = 1, max_length = 4_096)]
    text: String,
    /// A voice of the configuration: `speech.voice`, which is the default, or one of `speech.voices`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    voice: Option<String>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// Speak a text to a conference
///
/// The text is queued like a file of `play`, after everything that already plays, and `pause`, `stop` and `volume` apply to it. The
/// webhook `conference.play.started` comes at once with the `text`, `conference.play.finished` after its end.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/say", tag = "playback", operation_id = "speakToRoom",
    params(RoomPath),
    request_body(content = SayBody, example = json!({"text": "The conference ends in five minutes."})),
    responses(
        (status = 202, description = "The command is accepted.", body = playback::Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 409, description = "The conference has no members, the playback queue is full, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn say(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let play = text(&state, &fields)?;
    Command::new(caller, Target::Room(room), play, "say", &fields)?
        .checked_by(speech_engine(&state, room.node(), "text"))
        .in_group(&CONF_PLAY)
        .run(&state, playback::render_play)
        .await
}

/// Speak a text to one member
///
/// Only the member hears it. It is queued like a file of `play` to the member, with the same webhooks: the one of the start has
/// the `text`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/say", tag = "playback", operation_id = "speakToMember",
    params(RoomPath, SessionPath),
    request_body(content = SayBody, example = json!({"text": "You are the only speaker now."})),
    responses(
        (status = 202, description = "The command is accepted.", body = playback::Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is still joining, its playback queue is full (16 operations, 32 KiB of URLs and texts), or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn say_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let play = text(&state, &fields)?;
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/say");
    Command::new(caller, target, play, &route, &fields)?
        .checked_by(speech_engine(&state, room.node(), "text"))
        .run(&state, playback::render_play)
        .await
}

fn text(state: &ApiState, fields: &Fields) -> Result<Play, ApiError> {
    let text = fields
        .text("text")?
        .ok_or_else(|| ApiError::field("text", "is required"))?;
    let spoken = spoken(state, ("text", text), ("voice", fields.text("voice")?))?;
    Ok(Play {
        media: vec![Media::Speech(spoken)],
    })
}

/// Parses a text and its voice, each with the name of its field.
pub(super) fn spoken(
    state: &ApiState,
    (text_field, text): (&str, &str),
    (voice_field, voice): (&str, Option<&str>),
) -> Result<Spoken, ApiError> {
    let text = Speech::new(text).map_err(|why| ApiError::field(text_field, why))?;
    let voice = parse_voice(state, voice_field, voice)?;
    Ok(Spoken { text, voice })
}

fn parse_voice(
    state: &ApiState,
    field: &str,
    voice: Option<&str>,
) -> Result<Option<VoiceName>, ApiError> {
    let voice = voice.map(VoiceName::new).transpose();
    let voice = voice.map_err(|why| ApiError::field(field, why))?;
    if voice
        .as_ref()
        .is_some_and(|voice| !state.settings.voices.contains(voice))
    {
        return Err(ApiError::field(field, "is not a configured voice"));
    }
    Ok(voice)
}

/// Returns a text of an object; a value of another type is an empty text.
fn part<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    match object.get(name) {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_str().unwrap_or_default()),
    }
}

/// Parses an announcement in the field of this name.
pub(super) fn announcement(
    state: &ApiState,
    name: &str,
    value: &Value,
) -> Result<Announcement, ApiError> {
    match (part(value, "url"), part(value, "text")) {
        (Some(url), None) => {
            let url = PlayUrl::new(url);
            let url = url.map_err(|why| ApiError::field(&format!("{name}.url"), why))?;
            Ok(Announcement::File { url })
        }
        (None, Some(text)) => {
            let (text_field, voice_field) = (format!("{name}.text"), format!("{name}.voice"));
            let voice = (voice_field.as_str(), part(value, "voice"));
            let spoken = spoken(state, (&text_field, text), voice)?;
            Ok(Announcement::Speech(spoken))
        }
        (None, None) | (Some(_), Some(_)) => {
            let why = "expected an object with either \"url\" or \"text\"";
            Err(ApiError::field(name, why))
        }
    }
}

/// Parses the announcement of the number of members in the field of this name.
pub(super) fn count_announcement(
    state: &ApiState,
    name: &str,
    value: &Value,
) -> Result<CountAnnouncement, ApiError> {
    let why = "expected an object with \"text\"";
    let text = part(value, "text").ok_or_else(|| ApiError::field(name, why))?;
    let text = CountTemplate::new(text);
    let text = text.map_err(|why| ApiError::field(&format!("{name}.text"), why))?;
    let voice = parse_voice(state, &format!("{name}.voice"), part(value, "voice"))?;
    Ok(CountAnnouncement { text, voice })
}

/// Checks that a node speaks texts: only for a caller who may use it, and not for a repeated command. The commands to a node that
/// cannot be reached fail by themselves.
pub(super) fn speech_engine(
    state: &ApiState,
    node: NodeId,
    field: &'static str,
) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
    let nodes = Nodes::now(state);
    let speaks = nodes.stale(node) || nodes.get(node).is_some_and(|node| node.speaks);
    let why = "the node has no speech engine";
    std::future::ready(if speaks {
        Ok(())
    } else {
        Err(ApiError::field(field, why))
    })
}
