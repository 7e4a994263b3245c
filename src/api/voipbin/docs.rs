//! What the OpenAPI document says of the VoIPBIN API: one empty function a route, as for the gateway API.
#![allow(dead_code, reason = "what stands here is read by the macros alone")]

use serde_json::{Value, json};
use utoipa::{IntoParams, OpenApi, ToSchema};
use uuid::Uuid;

use crate::api::gateway::{Failure, SessionIdText, limit};

use super::calls::ConferencecallList;
use super::conferences::ConferenceList;
use super::forms::{Conference, Conferencecall, NEVER, Recording};
use super::recordings::RecordingList;

/// The paths of the VoIPBIN API.
#[derive(OpenApi)]
#[openapi(paths(
    create_conference,
    list_conferences,
    get_conference,
    update_conference,
    delete_conference,
    recording_start,
    recording_stop,
    create_conferencecall,
    list_conferencecalls,
    get_conferencecall,
    delete_conferencecall,
    list_recordings,
    get_recording
))]
pub(crate) struct Paths;

/// An action: what a call does before it comes in or after it has left.
#[derive(ToSchema)]
#[serde(untagged)]
enum VoipbinAction {
    Talk(TalkAction),
    Play(PlayAction),
    Sleep(SleepAction),
    Plain(PlainAction),
}

/// One of the actions.
macro_rules! action {
    ($(#[$of:meta])* $name:ident, $form:literal, $option:ty) => {
        $(#[$of])*
        #[derive(ToSchema)]
        struct $name {
            /// Its name for others in the list.
            id: Option<Uuid>,
            /// The one that follows. Without it, or nil, the next in the list.
            next_id: Option<Uuid>,
            #[schema(pattern = $form)]
            r#type: String,
            option: $option,
        }
    };
}

action! {
    /// Speaks a text. Refused where no node has the speech engine.
    TalkAction, "^talk$", TalkOption
}

action! {
    /// Plays files, one after the other.
    PlayAction, "^play$", PlayOption
}

action! {
    /// Waits.
    SleepAction, "^sleep$", SleepOption
}

action! {
    /// A short tone, or the end of the call.
    PlainAction, "^(beep|hangup)$", Option<PlainOption>
}

/// What to say. `language` and `gender` are for the record, as is all else: the voice is configured.
#[derive(ToSchema)]
struct TalkOption {
    /// Neither begins with `{` nor has `${` in it.
    #[schema(min_length = 1, max_length = 4096)]
    text: String,
}

/// What to play.
#[derive(ToSchema)]
struct PlayOption {
    /// Files, by http or https, in the order they are played.
    #[schema(min_items = 1, max_items = 128)]
    stream_urls: Vec<String>,
}

/// How long to wait.
#[derive(ToSchema)]
struct SleepOption {
    /// Milliseconds.
    #[schema(minimum = 0, maximum = 3600000)]
    duration: u32,
}

/// Nothing of it counts.
#[derive(ToSchema)]
struct PlainOption {}

/// A conference that is to be made.
#[derive(ToSchema)]
struct NewVoipbinConference {
    /// `conference`, which it is without this, or `connect`: two members, and when one goes, so does the other.
    #[schema(pattern = "^(conference|connect)$")]
    r#type: Option<String>,
    #[schema(max_length = 255)]
    name: Option<String>,
    #[schema(max_length = 4096)]
    detail: Option<String>,
    /// Kept as it is.
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
    /// Seconds from now until it ends; 0: never.
    #[schema(minimum = 0, maximum = 31536000)]
    timeout: Option<u32>,
    #[schema(max_items = 64)]
    pre_actions: Option<Vec<VoipbinAction>>,
    /// Also taken as `post_action`, which an older document calls it.
    #[schema(max_items = 64)]
    post_actions: Option<Vec<VoipbinAction>>,
    /// The node that it is to be on. Without it, the least loaded that is up.
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    node: Option<String>,
    /// The call whose node it is to be on, as the gateway API names it.
    #[schema(value_type = Option<SessionIdText>)]
    session: Option<String>,
}

/// What is to change of a conference; what is left out stays.
#[derive(ToSchema)]
struct VoipbinUpdate {
    #[schema(max_length = 255)]
    name: Option<String>,
    #[schema(max_length = 4096)]
    detail: Option<String>,
    /// Kept as it is.
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
    /// Seconds since it was made until it ends; 0: never.
    #[schema(minimum = 0, maximum = 31536000)]
    timeout: Option<u32>,
    #[schema(max_items = 64)]
    pre_actions: Option<Vec<VoipbinAction>>,
    /// Also taken as `post_action`, which an older document calls it.
    #[schema(max_items = 64)]
    post_actions: Option<Vec<VoipbinAction>>,
}

/// Which call is to join which conference.
#[derive(ToSchema)]
struct NewConferencecall {
    conference_id: Uuid,
    /// `call`.
    #[schema(pattern = "^call$")]
    reference_type: String,
    /// The call's channel uuid.
    reference_id: Uuid,
    /// The caller's own id of the command, echoed in the webhook it leads to.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// What a command about a recording can carry.
#[derive(ToSchema)]
struct VoipbinCommand {
    /// The caller's own id of the command, echoed in the webhook it leads to.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct VoipbinPage {
    /// How many rows at most: 100 without it, and no more.
    #[param(schema_with = limit)]
    page_size: Option<u64>,
    /// The `next_page_token` of the page before, as it was.
    page_token: Option<String>,
}

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct OfConference {
    /// Of this conference only.
    conference_id: Option<Uuid>,
}

const CUSTOMER: &str = "5e4a0680-804e-11ec-8477-2fea5968d85b";
const NIL: &str = "00000000-0000-0000-0000-000000000000";
const CONFERENCE: &str = "99accfb7-c0dd-8a54-997d-dd18af7bc280";
const CALL: &str = "b8aa51f6-5cc1-80ba-9737-45ca24dab153";
const RECORDING: &str = "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11";

fn conference() -> Value {
    let talk = |text: &str| {
        json!({
            "id": NIL,
            "next_id": NIL,
            "type": "talk",
            "option": { "text": text, "language": "en-US" },
        })
    };
    json!({
        "id": CONFERENCE,
        "customer_id": CUSTOMER,
        "type": "conference",
        "status": "progressing",
        "name": "test conference",
        "detail": "test conference for example.",
        "data": {},
        "timeout": 0,
        "pre_actions": [talk("Hello. Welcome to the test conference.")],
        "post_actions": [talk("The conference has closed. Thank you. Good bye.")],
        "conferencecall_ids": [CALL],
        "recording_id": NIL,
        "recording_ids": [RECORDING],
        "tm_create": "2022-02-03 06:08:56.672025",
        "tm_update": "2022-08-06 19:11:13.040418",
        "tm_delete": NEVER,
    })
}

fn conferencecall() -> Value {
    json!({
        "id": CALL,
        "customer_id": CUSTOMER,
        "conference_id": CONFERENCE,
        "reference_type": "call",
        "reference_id": "7cb70145-a20a-4070-8b23-9131410d301d",
        "status": "leaving",
        "tm_create": "2022-08-09 03:53:49.142446",
        "tm_update": "2022-08-09 03:54:10.035297",
        "tm_delete": NEVER,
    })
}

fn a_recording() -> Value {
    json!({
        "id": RECORDING,
        "customer_id": CUSTOMER,
        "conference_id": CONFERENCE,
        "status": "ended",
        "format": "wav",
        "path": format!("/var/lib/freeswitch/recordings/{RECORDING}.wav"),
        "duration": 12.34,
        "tm_start": "2022-08-06 16:57:12.247946",
        "tm_end": "2022-08-06 16:57:24.587946",
        "tm_create": "2022-08-06 16:57:12.201337",
        "tm_update": "2022-08-06 16:57:24.587946",
        "tm_delete": NEVER,
    })
}

/// Make a conference
///
/// Names are free text and may repeat. Its webhook is `conference.created`.
#[utoipa::path(
    post, path = "/v1.0/conferences", tag = "conferences (VoIPBIN)",
    request_body(content = NewVoipbinConference, example = json!({"type": "conference", "name": "test conference", "detail": "test conference for example"})),
    responses(
        (status = 200, description = "It is made.", body = Conference,
         example = json!(conference())),
        (status = 404, description = "There is no such node or session.", body = Failure),
        (status = 409, description = "Session and node are apart.", body = Failure),
    )
)]
fn create_conference() {}

/// List conferences
///
/// By time of creation, also those of the gateway API, and for a time those that are over. When `next_page_token` is
/// empty, it was the last page.
#[utoipa::path(
    get, path = "/v1.0/conferences", tag = "conferences (VoIPBIN)", params(VoipbinPage),
    responses((status = 200, description = "A page.", body = ConferenceList,
     example = json!({"result": [conference()], "next_page_token": ""})))
)]
fn list_conferences() {}

/// Read a conference
#[utoipa::path(
    get, path = "/v1.0/conferences/{conference_id}", tag = "conferences (VoIPBIN)",
    params(("conference_id" = Uuid, Path, description = "The conference.")),
    responses(
        (status = 200, description = "How it is.", body = Conference,
         example = json!(conference())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn get_conference() {}

/// Change a conference
///
/// Its type does not change. A new timeout counts from its creation. Its webhook is `conference.updated`.
#[utoipa::path(
    put, path = "/v1.0/conferences/{conference_id}", tag = "conferences (VoIPBIN)",
    params(("conference_id" = Uuid, Path, description = "The conference.")),
    request_body(content = VoipbinUpdate, example = json!({"name": "another", "timeout": 3600})),
    responses(
        (status = 200, description = "How it is now.", body = Conference, example = json!(conference())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
        (status = 409, description = "It is ending, or over. Or it was made through the gateway API, and its name does not change.", body = Failure),
    )
)]
fn update_conference() {}

/// End a conference
///
/// Its members go back into park, and it is `terminating` until they are out. One that ends already is answered as it is.
#[utoipa::path(
    delete, path = "/v1.0/conferences/{conference_id}", tag = "conferences (VoIPBIN)",
    params(("conference_id" = Uuid, Path, description = "The conference.")),
    responses(
        (status = 200, description = "It ends.", body = Conference, example = json!(conference())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn delete_conference() {}

/// Record a conference
///
/// One recording at a time. Its webhooks are `conference.recording.started`, or `.failed`.
#[utoipa::path(
    post, path = "/v1.0/conferences/{conference_id}/recording_start", tag = "conferences (VoIPBIN)",
    params(("conference_id" = Uuid, Path, description = "The conference.")),
    request_body(content = VoipbinCommand, example = json!({})),
    responses(
        (status = 200, description = "It is about to be recorded: the last of `recording_ids` says as what, and so does `recording_id` unless that has failed by now.", body = Conference, example = json!(conference())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
        (status = 409, description = "It has no members, is recorded already, is ending, or over.", body = Failure),
    )
)]
fn recording_start() {}

/// End the recording of a conference
///
/// Its webhook is `conference.recording.stopped`.
#[utoipa::path(
    post, path = "/v1.0/conferences/{conference_id}/recording_stop", tag = "conferences (VoIPBIN)",
    params(("conference_id" = Uuid, Path, description = "The conference.")),
    request_body(content = VoipbinCommand, example = json!({})),
    responses(
        (status = 200, description = "The recording is about to end.", body = Conference, example = json!(conference())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
        (status = 409, description = "It is not recorded, is ending, or over.", body = Failure),
    )
)]
fn recording_stop() {}

/// Let a call join a conference
///
/// It does the conference's `pre_actions` first. Its webhooks are `conference.member.joined`, or `.join_failed`.
#[utoipa::path(
    post, path = "/v1.0/conferencecalls", tag = "conferencecalls (VoIPBIN)",
    request_body(content = NewConferencecall, example = json!({"conference_id": CONFERENCE, "reference_type": "call", "reference_id": "7cb70145-a20a-4070-8b23-9131410d301d"})),
    responses(
        (status = 200, description = "It is `joining`, or was there already.", body = Conferencecall,
         example = json!(conferencecall())),
        (status = 403, description = "The conference or the call is another app's.", body = Failure),
        (status = 404, description = "There is no such conference or call.", body = Failure),
        (status = 409, description = "The call is in another conference or on another node, or the conference is of two and has them, is ending, or over.", body = Failure),
    )
)]
fn create_conferencecall() {}

/// List conferencecalls
///
/// By time of creation, for a time also those that are over.
#[utoipa::path(
    get, path = "/v1.0/conferencecalls", tag = "conferencecalls (VoIPBIN)", params(VoipbinPage, OfConference),
    responses((status = 200, description = "A page.", body = ConferencecallList,
     example = json!({"result": [conferencecall()], "next_page_token": ""})))
)]
fn list_conferencecalls() {}

/// Read a conferencecall
#[utoipa::path(
    get, path = "/v1.0/conferencecalls/{conferencecall_id}", tag = "conferencecalls (VoIPBIN)",
    params(("conferencecall_id" = Uuid, Path, description = "The conferencecall.")),
    responses(
        (status = 200, description = "How it is.", body = Conferencecall,
         example = json!(conferencecall())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn get_conferencecall() {}

/// Kick a call out of its conference
///
/// One that is `leaving` or `leaved` is answered as it is.
#[utoipa::path(
    delete, path = "/v1.0/conferencecalls/{conferencecall_id}", tag = "conferencecalls (VoIPBIN)",
    params(("conferencecall_id" = Uuid, Path, description = "The conferencecall.")),
    responses(
        (status = 200, description = "It is `leaving`; one that had not come in yet is `leaved`.", body = Conferencecall, example = json!(conferencecall())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn delete_conferencecall() {}

/// List recordings
///
/// By time of creation, for a time also those that are over.
#[utoipa::path(
    get, path = "/v1.0/recordings", tag = "recordings (VoIPBIN)", params(VoipbinPage, OfConference),
    responses((status = 200, description = "A page.", body = RecordingList,
     example = json!({"result": [a_recording()], "next_page_token": ""})))
)]
fn list_recordings() {}

/// Read a recording
#[utoipa::path(
    get, path = "/v1.0/recordings/{recording_id}", tag = "recordings (VoIPBIN)",
    params(("recording_id" = Uuid, Path, description = "The recording.")),
    responses(
        (status = 200, description = "How it is. Its file is on the node.", body = Recording,
         example = json!(a_recording())),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn get_recording() {}
