//! Schemas, parameters and responses that several operations share.
//!
//! The handlers read bodies field by field, so that an error names the wrong field. The types of bodies exist for the
//! document alone: nothing constructs them.
#![allow(
    dead_code,
    reason = "the macros read these types, the program does not"
)]

use std::collections::BTreeMap;

use utoipa::openapi::{ObjectBuilder, Type};
use utoipa::{IntoParams, IntoResponses, OpenApi, ToSchema};

/// The schemas that parameters refer to, which utoipa does not collect from there.
#[derive(OpenApi)]
#[openapi(components(schemas(Failure, RoomIdText, SessionIdText, CommandUidText)))]
pub(crate) struct SharedSchemas;

/// An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with the same
/// key for the same call or conference within 60 seconds of the response gets the same response, and the command is not
/// executed again. If the rest of the body differs, the response is 409.
#[derive(ToSchema)]
#[schema(as = CommandUid, pattern = "^[a-zA-Z0-9._-]{1,128}$")]
pub(crate) struct CommandUidText(String);

/// A conference: its node, and a UUID in lower case.
#[derive(ToSchema)]
#[schema(
    as = RoomId,
    pattern = "^[A-Za-z0-9]{5}-room-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
)]
pub(crate) struct RoomIdText(String);

/// A call: its node, and the UUID of its channel in lower case.
#[derive(ToSchema)]
#[schema(
    as = SessionId,
    pattern = "^[A-Za-z0-9]{5}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
)]
pub(crate) struct SessionIdText(String);

/// An error response.
#[derive(ToSchema)]
pub(crate) struct Failure {
    /// Always `false`.
    success: bool,
    /// The error as text.
    error: String,
    /// Machine-readable details: `field` names the invalid field of the request, `room_id` the existing conference,
    /// `session_node` and `room_node` the two nodes that differ.
    #[schema(value_type = Option<Object>)]
    detail: Option<()>,
}

/// The optional fields of every command.
#[derive(ToSchema)]
#[schema(as = Command)]
pub(crate) struct CommandBody {
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The maximum number of rows. A larger number is reduced to the allowed maximum.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the previous page, unchanged.
    cursor: Option<String>,
}

/// The path of a conference.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RoomPath {
    /// The conference.
    #[param(value_type = RoomIdText)]
    room_id: String,
}

/// The path of a call.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SessionPath {
    /// The call.
    #[param(value_type = SessionIdText)]
    uuid: String,
}

/// The state of a call.
#[derive(ToSchema)]
#[schema(as = CallState, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(crate) enum CallStateText {
    Ringing,
    Parked,
    Acting,
    Coaching,
    Transferring,
    Transferred,
    Joining,
    InRoom,
    Leaving,
}

/// The direction of a call, as FreeSWITCH sees it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(crate) enum CallDirection {
    Inbound,
    Outbound,
}

/// The settings of a conference; a row has only those that are set.
#[derive(ToSchema)]
#[schema(as = RoomSettings)]
pub(crate) struct RoomSettingsText {
    /// The app's own texts by key: at most 16, with keys of 1 to 32 characters of `a-z 0-9 . _ -`, and values of at most
    /// 128 characters.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    /// The most members, joining ones included; 0: no limit. A lower limit removes nobody.
    #[schema(required = false, maximum = 10_000)]
    max_members: u32,
    /// Seconds from the creation until the conference ends; 0: never.
    #[schema(required = false, maximum = 31_536_000)]
    max_duration: u32,
    #[schema(required = false)]
    tones: TonesText,
    /// The file that a lone member hears, again and again.
    #[schema(required = false)]
    alone_url: Option<String>,
    /// The conference ends when it has members and none has talked for this number of seconds; 0: never.
    #[schema(required = false, maximum = 31_536_000)]
    end_when_silent_for: u32,
    /// `true`: members wait until a moderator enters, or another member with `start_on_enter`. Until then none hears
    /// another. The wait begins again when all members have left.
    #[schema(required = false)]
    wait_for_moderator: bool,
    /// The file that each waiting member hears, again and again.
    #[schema(required = false)]
    wait_url: Option<String>,
    /// The announcement that the conference hears before its recording begins.
    #[schema(required = false)]
    announce_recording: Option<AnnouncementText>,
    /// Spoken to each member that enters while others are present, and to it alone.
    #[schema(required = false)]
    announce_count: Option<CountAnnouncementText>,
    /// The file that asks for the PIN.
    #[schema(required = false)]
    pin_prompt_url: Option<String>,
    /// The text that asks for the PIN.
    #[schema(required = false)]
    pin_prompt_text: Option<String>,
    /// The attempts of a caller; 0: 3.
    #[schema(required = false, maximum = 10)]
    pin_tries: u8,
}

/// The settings of a conference in a row.
#[derive(ToSchema)]
#[schema(as = ShownRoomSettings)]
pub(crate) struct ShownRoomSettingsText {
    #[serde(flatten)]
    settings: RoomSettingsText,
    /// `true`: a caller enters a PIN before its call joins.
    #[schema(required = false)]
    pin_required: bool,
}

/// The announcement that a conference hears before its recording begins: either a `url`, or a `text` with an optional `voice`.
#[derive(ToSchema)]
#[schema(as = Announcement)]
#[allow(dead_code, reason = "describes a field")]
pub(crate) struct AnnouncementText {
    /// The http or https URL of a file.
    url: Option<String>,
    #[schema(min_length = 1, max_length = 4_096)]
    text: Option<String>,
    /// A voice of the configuration.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    voice: Option<String>,
}

/// The number of members as a `text`, with an optional `voice`.
#[derive(ToSchema)]
#[schema(as = CountAnnouncement)]
#[allow(dead_code, reason = "describes a field")]
pub(crate) struct CountAnnouncementText {
    /// At most 512 bytes. The number, which includes the member that enters, replaces each `{count}`.
    #[schema(max_length = 512, pattern = "\\{count\\}")]
    text: String,
    /// A voice of the configuration.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    voice: Option<String>,
}

/// The files that all members hear when another one enters or leaves.
#[derive(ToSchema)]
#[schema(as = Tones)]
pub(crate) struct TonesText {
    #[schema(required = false)]
    enter: String,
    #[schema(required = false)]
    exit: String,
}

/// The settings of a member; a row has only those that are set.
#[derive(ToSchema)]
#[schema(as = MemberSettings)]
pub(crate) struct MemberSettingsText {
    /// The app's own texts by key: at most 16, with keys of 1 to 32 characters of `a-z 0-9 . _ -`, and values of at most
    /// 128 characters.
    #[schema(required = false)]
    labels: BTreeMap<String, String>,
    /// `participant` if absent.
    #[schema(required = false)]
    role: MemberRole,
    /// `true`: the conference ends when this member leaves, other than by a move.
    #[schema(required = false)]
    end_on_exit: bool,
    /// The volume of what the member says, -4 to 4; 0 if absent.
    #[schema(required = false)]
    volume_in: i32,
    /// The volume of what the member hears, -4 to 4; 0 if absent.
    #[schema(required = false)]
    volume_out: i32,
    /// The energy above which the member is heard; that of the conference profile if absent. 0 to 1800, unless another
    /// client of FreeSWITCH chose it.
    #[schema(required = false)]
    energy: i32,
    /// A conference that waits for a moderator starts with this member, or does not; if absent, its role decides.
    #[schema(required = false)]
    start_on_enter: bool,
}

/// The role of a member.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(crate) enum MemberRole {
    Participant,
    Moderator,
}

/// The failures of a read by id.
#[derive(IntoResponses)]
pub(crate) enum ReadFailures {
    /// It belongs to another app.
    #[response(status = 403)]
    Foreign(Failure),
    /// It does not exist.
    #[response(status = 404)]
    Missing(Failure),
}

/// The failures of a command to a member, except its conflicts.
#[derive(IntoResponses)]
pub(crate) enum SessionCommandFailures {
    /// The call belongs to another app.
    #[response(status = 403)]
    Foreign(Failure),
    /// The call does not exist or is in no conference.
    #[response(status = 404)]
    Missing(Failure),
    /// FreeSWITCH refused the command.
    #[response(status = 502)]
    Refused(Failure),
    /// FreeSWITCH did not answer in time. The command may have been executed.
    #[response(status = 504)]
    Unanswered(Failure),
}

/// The failures of a command to a conference, except its conflicts.
#[derive(IntoResponses)]
pub(crate) enum RoomCommandFailures {
    /// The conference belongs to another app.
    #[response(status = 403)]
    Foreign(Failure),
    /// The conference does not exist.
    #[response(status = 404)]
    Missing(Failure),
    /// FreeSWITCH refused the command.
    #[response(status = 502)]
    Refused(Failure),
    /// FreeSWITCH did not answer in time. The command may have been executed.
    #[response(status = 504)]
    Unanswered(Failure),
}

/// The schema of a page size. It has no integer format, because the API accepts a number of any size.
pub(crate) fn limit() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .description(Some(
            "The maximum number of rows. A larger number is reduced to the allowed maximum.",
        ))
}

/// Ids that the examples share.
pub(crate) mod example {
    pub(crate) const ROOM: &str = "acW68-room-550e8400-e29b-41d4-a716-446655440000";
    pub(crate) const SESSION: &str = "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11";
    pub(crate) const OPERATION: &str = "a1b2c3d4-e5f6-7890-abcd-ef1234567890";
}

/// Declares the schema of a filter that selects among the events with these names.
macro_rules! event_filter {
    ($(#[$doc:meta])* $name:ident, $names:expr) => {
        $(#[$doc])*
        struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let texts = crate::webhook::endpoint::EventFilter::all_among($names);
                let text = utoipa::openapi::ObjectBuilder::new();
                text.schema_type(utoipa::openapi::Type::String).enum_values(Some(texts)).into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
pub(crate) use event_filter;
