//! Schemas of bodies, parameters and examples of the VoIPBIN API, for the OpenAPI document.
#![allow(
    dead_code,
    reason = "the macros read these types, the program does not"
)]

use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::openapi::schemas::{SessionIdText, limit};

use super::forms::{ConferenceType, NEVER, ReferenceType};

/// A step that a call runs before it joins or after it leaves.
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
            /// The id by which other actions of the list refer to this one.
            id: Option<Uuid>,
            /// The id of the action to run next; if omitted or nil, the next one of the list.
            next_id: Option<Uuid>,
            #[schema(pattern = $form)]
            r#type: String,
            option: $option,
        }
    };
}

action! {
    /// Speaks a text. Refused if no node has the speech engine.
    TalkAction, "^talk$", TalkOption
}

action! {
    /// Plays files one after the other.
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

/// The text to speak. `language`, `gender` and other options are stored but have no effect: the voice is configured.
#[derive(ToSchema)]
struct TalkOption {
    /// Must not begin with `{` or contain `${`.
    #[schema(min_length = 1, max_length = 4096)]
    text: String,
}

/// The files to play.
#[derive(ToSchema)]
struct PlayOption {
    /// http or https URLs of the files, in the order of playback.
    #[schema(min_items = 1, max_items = 128)]
    stream_urls: Vec<String>,
}

/// The duration of the wait.
#[derive(ToSchema)]
struct SleepOption {
    /// Milliseconds.
    #[schema(minimum = 0, maximum = 3600000)]
    duration: u32,
}

/// Options are accepted and ignored.
#[derive(ToSchema)]
struct PlainOption {}

/// A new conference.
#[derive(ToSchema)]
pub(super) struct NewVoipbinConference {
    /// `conference` if omitted.
    #[schema(value_type = Option<ConferenceType>)]
    r#type: Option<String>,
    #[schema(max_length = 255)]
    name: Option<String>,
    #[schema(max_length = 4096)]
    detail: Option<String>,
    /// Stored unchanged.
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
    /// Seconds from now until the conference ends; 0: never.
    #[schema(minimum = 0, maximum = 31536000)]
    timeout: Option<u32>,
    #[schema(max_items = 64)]
    pre_actions: Option<Vec<VoipbinAction>>,
    /// Also accepted under its older name `post_action`.
    #[schema(max_items = 64)]
    post_actions: Option<Vec<VoipbinAction>>,
    /// The node of the conference; if omitted, the least loaded node that is up.
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    node: Option<String>,
    /// The conference is created on this call's node. The id has the gateway API's form.
    #[schema(value_type = Option<SessionIdText>)]
    session: Option<String>,
}

/// The changes of a conference. Omitted fields stay unchanged.
#[derive(ToSchema)]
pub(super) struct VoipbinUpdate {
    #[schema(max_length = 255)]
    name: Option<String>,
    #[schema(max_length = 4096)]
    detail: Option<String>,
    /// Stored unchanged.
    #[schema(value_type = Option<Object>)]
    data: Option<()>,
    /// Seconds from the creation until the conference ends; 0: never.
    #[schema(minimum = 0, maximum = 31536000)]
    timeout: Option<u32>,
    #[schema(max_items = 64)]
    pre_actions: Option<Vec<VoipbinAction>>,
    /// Also accepted under its older name `post_action`.
    #[schema(max_items = 64)]
    post_actions: Option<Vec<VoipbinAction>>,
}

/// The call that joins, and the conference.
#[derive(ToSchema)]
pub(super) struct NewConferencecall {
    conference_id: Uuid,
    #[schema(value_type = ReferenceType)]
    reference_type: String,
    /// The UUID of the call's channel.
    reference_id: Uuid,
    /// The caller's own id of the command, repeated in the resulting webhook.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// The optional fields of a recording command.
#[derive(ToSchema)]
pub(super) struct VoipbinCommand {
    /// The caller's own id of the command, repeated in the resulting webhook.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// The page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VoipbinPage {
    /// The maximum number of rows: 100 by default and at most.
    #[param(schema_with = limit)]
    page_size: Option<u64>,
    /// The `next_page_token` of the previous page, unchanged.
    page_token: Option<String>,
}

/// The path of a conference.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ConferencePath {
    /// The conference.
    conference_id: Uuid,
}

/// The path of a conferencecall.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ConferencecallPath {
    /// The conferencecall.
    conferencecall_id: Uuid,
}

/// The path of a recording.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RecordingPath {
    /// The recording.
    recording_id: Uuid,
}

/// The filter of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfConference {
    /// Only rows of this conference.
    conference_id: Option<Uuid>,
}

const CUSTOMER: &str = "5e4a0680-804e-11ec-8477-2fea5968d85b";
const NIL: &str = "00000000-0000-0000-0000-000000000000";
pub(super) const CONFERENCE: &str = "99accfb7-c0dd-8a54-997d-dd18af7bc280";
const CALL: &str = "b8aa51f6-5cc1-80ba-9737-45ca24dab153";
const RECORDING: &str = "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11";

/// An example of a conference.
pub(super) fn conference() -> Value {
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

/// An example of a conferencecall.
pub(super) fn conferencecall() -> Value {
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

/// An example of a recording.
pub(super) fn recording() -> Value {
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
