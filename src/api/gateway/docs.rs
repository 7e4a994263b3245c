//! What the OpenAPI document says of the gateway API: one empty function a route, above which stands what its handler
//! takes and answers.
//!
//! The answers are the handlers' own types. Bodies have types for the document alone, because handlers read them field
//! by field, to name what is wrong with one. A test asks the router for each of these paths, holds the handlers' answers
//! against these schemas, and fails for a route that is not here.
#![allow(dead_code, reason = "what stands here is read by the macros alone")]

use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::commands::{CAUSES, Operation, Status};
use super::moderation::Lock;
use super::nodes::NodeList;
use super::playback::{Operation as Playing, Volume as PlayVolume};
use super::recording::Operation as RecordingOperation;
use super::rooms::{MemberList, RoomDetail, RoomList, RoomRef};
use super::sessions::{SessionList, SessionRow};

/// The paths of the gateway API.
#[derive(OpenApi)]
#[openapi(paths(
    create,
    list,
    get,
    members,
    delete,
    sessions,
    session,
    join,
    leave,
    mute,
    unmute,
    answer,
    hangup,
    play,
    pause,
    stop,
    volume,
    record_start,
    record_stop,
    lock,
    unlock,
    kick,
    nodes
))]
pub(crate) struct Paths;

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

/// Where a call is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum CallState {
    Ringing,
    Parked,
    Acting,
    Joining,
    InRoom,
    Leaving,
}

/// Who called whom, as FreeSWITCH sees it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum CallDirection {
    Inbound,
    Outbound,
}

/// Whether a node can be reached.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum NodeState {
    Up,
    Down,
    Connecting,
}

/// Whether something plays.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum PlaybackStatus {
    Playing,
    Paused,
    Stopped,
}

/// Where the recording of a conference stands.
#[derive(ToSchema)]
#[schema(as = RecordingStatus, rename_all = "snake_case")]
pub(super) enum RecordingStatusText {
    Starting,
    Recording,
    Stopping,
}

/// A conference that is to be made.
#[derive(ToSchema)]
struct NewConference {
    /// Unique among the app's living conferences.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    name: String,
    /// The node that it is to be on. Without it, the least loaded that is up.
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    node: Option<String>,
    /// The call whose node it is to be on.
    #[schema(value_type = Option<SessionIdText>)]
    #[schema(value_type = Option<SessionIdText>)]
    session: Option<String>,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// How many rows at most. What is above the most allowed is taken as that.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the page before, as it was.
    cursor: Option<String>,
}

/// Without the format that a number of so many bits would have: any is taken.
pub(crate) fn limit() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .description(Some(
            "How many rows at most. What is above the most allowed is taken as that.",
        ))
}

fn cause() -> ObjectBuilder {
    let causes = CAUSES.iter().map(|cause| Some(*cause)).chain([None]);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(
            "FreeSWITCH's name of the hang-up cause. Without it, `NORMAL_CLEARING`.",
        ))
        .enum_values(Some(causes))
}

/// What every command can carry.
#[derive(ToSchema)]
struct Command {
    /// The caller's own id of the command, echoed in the webhook it leads to. Made when not given.
    /// Given again for the same call or conference within 60 seconds of the answer, that answer is repeated and nothing is
    /// done; with anything else in the body it is 409.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// Which conference to join.
#[derive(ToSchema)]
struct Join {
    /// The conference.
    #[schema(value_type = RoomIdText)]
    room_id: String,
    /// Whether the member can be heard. Without it, members of a conference made through this API join muted.
    muted: Option<bool>,
    /// The caller's own id of the command, echoed in the webhook it leads to. Made when not given.
    /// Given again for the same call or conference within 60 seconds of the answer, that answer is repeated and nothing is
    /// done; with anything else in the body it is 409.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// How to end a call.
#[derive(ToSchema)]
struct Hangup {
    #[schema(schema_with = cause)]
    cause: Option<String>,
    /// The caller's own id of the command.
    /// Given again for the same call or conference within 60 seconds of the answer, that answer is repeated and nothing is
    /// done; with anything else in the body it is 409.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// What every answer is that is not a success.
#[derive(ToSchema)]
pub(crate) struct Failure {
    /// Always `false`.
    success: bool,
    /// What went wrong, in words.
    error: String,
    /// What a program can use of it: `field` names what is wrong with a request, `room_id` a conference that is there
    /// already, `session_node` and `room_node` where each is.
    #[schema(value_type = Option<Object>)]
    detail: Option<()>,
}

const ROOM: &str = "acW68-room-550e8400-e29b-41d4-a716-446655440000";

/// Make a conference
///
/// Its webhook is `conference.created`.
#[utoipa::path(
    post, path = "/api/v1/conferences", tag = "conferences",
    request_body(content = NewConference, example = json!({"name": "weekly-standup"})),
    responses(
        (status = 201, description = "It is made.", body = RoomRef,
         example = json!({"room_id": ROOM})),
        (status = 403, description = "The session is another app's.", body = Failure),
        (status = 404, description = "There is no such node or session.", body = Failure),
        (status = 409, description = "The name is taken: `detail.room_id` has it. Or session and node are apart, or `detail.node` is draining.", body = Failure,
         example = json!({"success": false, "error": "Conference name already taken for this application", "detail": {"room_id": ROOM}})),
    )
)]
fn create() {}

/// List the app's conferences
///
/// By time of creation. When `cursor` is empty, it was the last page.
#[utoipa::path(
    get, path = "/api/v1/conferences", tag = "conferences", params(PageQuery),
    responses((status = 200, description = "A page: 50 unless asked otherwise, 200 at most.", body = RoomList,
     example = json!({"conferences": [{"room_id": ROOM, "name": "team-standup", "members": 3, "created_at": "2026-05-06T12:34:56Z"}], "cursor": ""})))
)]
fn list() {}

/// Read a conference
#[utoipa::path(
    get, path = "/api/v1/conferences/{room_id}", tag = "conferences",
    params(("room_id" = RoomIdText, Path, description = "The conference.")),
    responses(
        (status = 200, description = "How it is. `created_at` is in unix seconds here.", body = RoomDetail,
         example = json!({"room_id": ROOM, "name": "weekly-standup", "created_at": "1711036800", "members": 5, "playback_status": "stopped", "playback_volume": 0, "playback_urls": [], "playback_operation_id": ""})),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn get() {}

/// List a conference's members
///
/// Another app's conference is not found here.
#[utoipa::path(
    get, path = "/api/v1/conferences/{room_id}/members", tag = "conferences",
    params(("room_id" = RoomIdText, Path, description = "The conference."), PageQuery),
    responses(
        (status = 200, description = "A page: 50 unless asked otherwise, 1,000 at most.", body = MemberList,
         example = json!({"room_id": ROOM, "members": [{"uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "did": "747713001", "caller_id": "527121102", "muted": false}], "cursor": ""})),
        (status = 404, description = "There is none, or it is another app's.", body = Failure),
    )
)]
fn members() {}

/// End a conference
///
/// From the answer on it is not found. Its members go back into park; each has its `conference.member.left`, then the
/// conference its `conference.destroyed`, at the latest 10 seconds after the answer.
#[utoipa::path(
    delete, path = "/api/v1/conferences/{room_id}", tag = "conferences",
    params(("room_id" = RoomIdText, Path, description = "The conference.")),
    responses(
        (status = 200, description = "It ends.", body = RoomRef, example = json!({"room_id": ROOM})),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn delete() {}

/// List the app's calls
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", params(PageQuery),
    responses((status = 200, description = "A page: 50 unless asked otherwise, 200 at most.", body = SessionList,
     example = json!({"sessions": [{"uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "parked", "room_id": null, "created_at": "2026-05-06T12:34:56Z"}], "cursor": ""})))
)]
fn sessions() {}

/// Read a call
#[utoipa::path(
    get, path = "/api/v1/sessions/{uuid}", tag = "sessions",
    params(("uuid" = SessionIdText, Path, description = "The call.")),
    responses(
        (status = 200, description = "How it is. `state` is `ringing`, `parked`, `acting`, `joining`, `in_room` or `leaving`.", body = SessionRow,
         example = json!({"uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "in_room", "room_id": ROOM, "created_at": "2026-05-06T12:34:56Z"})),
        (status = 403, description = "It is another app's.", body = Failure),
        (status = 404, description = "There is none.", body = Failure),
    )
)]
fn session() {}

macro_rules! command {
    ($(#[$doc:meta])* $name:ident, $path:literal, $body:ty, $request:tt, $answer:ty, $example:tt, $conflict:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "commands",
            params(("uuid" = SessionIdText, Path, description = "The call.")),
            request_body(content = $body, example = json!($request)),
            responses(
                (status = 202, description = "It is begun; the webhook tells when it is done.", body = $answer, example = json!($example)),
                (status = 403, description = "The call is another app's.", body = Failure),
                (status = 404, description = "There is no such call, or it is in no conference.", body = Failure),
                (status = 409, description = $conflict, body = Failure),
                (status = 502, description = "FreeSWITCH refused.", body = Failure),
                (status = 504, description = "FreeSWITCH did not answer in time: it may be done or not.", body = Failure),
            )
        )]
        fn $name() {}
    };
}

/// Bring a call into a conference
///
/// Its webhook is `conference.member.joined`, or `conference.member.join_failed`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/conference/join", tag = "commands",
    params(("uuid" = SessionIdText, Path, description = "The call.")),
    request_body(content = Join, example = json!({"room_id": ROOM})),
    responses(
        (status = 200, description = "It is in there already.", body = Status, example = json!({"status": "already_joined", "room_id": ROOM})),
        (status = 202, description = "It is begun.", body = Status, example = json!({"status": "joining", "room_id": ROOM})),
        (status = 403, description = "The call or the conference is another app's.", body = Failure),
        (status = 404, description = "There is no such call or conference.", body = Failure),
        (status = 409, description = "The call is in another conference, still leaving one, or on another node, or the conference is locked. Or the `command_uid` was given to another command.", body = Failure,
         example = json!({"success": false, "error": "Session is already in a different conference room. Use conference/leave first."})),
        (status = 502, description = "FreeSWITCH refused.", body = Failure),
        (status = 504, description = "FreeSWITCH did not answer in time: it may be done or not.", body = Failure),
    )
)]
fn join() {}

command! {
    /// Take a call out of its conference
    ///
    /// Its webhook is `conference.member.left`.
    leave, "/api/v1/sessions/{uuid}/commands/conference/leave",
    Command, {"command_uid": "leave-1"}, Status,
    {"status": "leaving", "room_id": "acW68-room-550e8400-e29b-41d4-a716-446655440000"},
    "It is still joining. Or the `command_uid` was given to another command."
}

command! {
    /// Mute a member
    ///
    /// Its webhook is `conference.member.muted`.
    mute, "/api/v1/sessions/{uuid}/commands/conference/mute",
    Command, {"command_uid": "mute-1"}, Status,
    {"status": "muted", "room_id": "acW68-room-550e8400-e29b-41d4-a716-446655440000"},
    "It is muted already, or still joining. Or the `command_uid` was given to another command."
}

command! {
    /// Unmute a member
    ///
    /// Its webhook is `conference.member.unmuted`.
    unmute, "/api/v1/sessions/{uuid}/commands/conference/unmute",
    Command, {"command_uid": "unmute-1"}, Status,
    {"status": "unmuted", "room_id": "acW68-room-550e8400-e29b-41d4-a716-446655440000"},
    "It is unmuted already, or still joining. Or the `command_uid` was given to another command."
}

command! {
    /// Answer a call
    ///
    /// Its webhook is `call.answered`.
    answer, "/api/v1/sessions/{uuid}/commands/answer",
    Command, {"command_uid": "answer-1"}, Operation,
    {"operation_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "status": "in_progress"},
    "It is answered already. Or the `command_uid` was given to another command."
}

command! {
    /// End a call
    ///
    /// Its webhook is `call.hangup`.
    hangup, "/api/v1/sessions/{uuid}/commands/hangup",
    Hangup, {"cause": "NORMAL_CLEARING"}, Operation,
    {"operation_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "status": "in_progress"},
    "It is ending already. Or the `command_uid` was given to another command."
}

/// What to play.
#[derive(ToSchema)]
struct Play {
    /// Files, by http or https, in the order they are played.
    #[schema(min_items = 1, max_items = 128)]
    urls: Vec<String>,
    /// The caller's own id of the command, echoed in the webhooks it leads to.
    /// Given again for the same call or conference within 60 seconds of the answer, that answer is repeated and nothing is
    /// done; with anything else in the body it is 409.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// How loud to play.
#[derive(ToSchema)]
struct NewVolume {
    /// In decibels, for what plays and for all that is played later.
    #[schema(minimum = -50, maximum = 7)]
    volume: i64,
    /// The caller's own id of the command, echoed in the webhook it leads to.
    /// Given again for the same call or conference within 60 seconds of the answer, that answer is repeated and nothing is
    /// done; with anything else in the body it is 409.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,128}$")]
    command_uid: Option<String>,
}

/// A command to what plays in a room: they differ in what they take and answer.
macro_rules! control {
    (
        $(#[$doc:meta])* $name:ident, $path:literal,
        $body:ty, $request:tt, $answer:ty, $example:tt, $conflict:literal
    ) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "playback",
            params(("room_id" = RoomIdText, Path, description = "The conference.")),
            request_body(content = $body, example = json!($request)),
            responses(
                (status = 202, description = "It is accepted.", body = $answer, example = json!($example)),
                (status = 403, description = "The conference is another app's.", body = Failure),
                (status = 404, description = "There is no such conference.", body = Failure),
                (status = 409, description = $conflict, body = Failure),
                (status = 502, description = "FreeSWITCH refused.", body = Failure),
                (status = 504, description = "FreeSWITCH did not answer in time: it may be done or not.", body = Failure),
            )
        )]
        fn $name() {}
    };
}

control! {
    /// Play files into a conference
    ///
    /// Behind what plays already. Its webhooks are `conference.play.started` at once and `conference.play.finished` when the
    /// last of its files is done.
    play, "/api/v1/conferences/{room_id}/play",
    Play, {"urls": ["https://cdn.example.com/announcement.wav"]}, Playing,
    {"operation_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "status": "in_progress"},
    "The conference has no members yet, or too much waits to be played. Or the `command_uid` was given to another command."
}

control! {
    /// Pause what plays, or go on with it
    ///
    /// Its webhook is `conference.play.paused` or `conference.play.resumed`.
    pause, "/api/v1/conferences/{room_id}/pause",
    Command, {"command_uid": "pause-1"}, Playing,
    {"operation_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "status": "paused"},
    "Nothing is playing. Or the `command_uid` was given to another command."
}

control! {
    /// Stop all that plays
    ///
    /// Its webhook is `conference.play.stopped`, one for each operation. Nothing playing: the `operation_id` is empty.
    stop, "/api/v1/conferences/{room_id}/stop",
    Command, {"command_uid": "stop-1"}, Playing,
    {"operation_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "status": "stopped"},
    "The `command_uid` was given to another command."
}

control! {
    /// Set the volume of what plays
    ///
    /// Its webhook is `conference.play.volume_changed`. Nothing playing: the `operation_id` is empty.
    volume, "/api/v1/conferences/{room_id}/volume",
    NewVolume, {"volume": 2}, PlayVolume,
    {"operation_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "volume": 2},
    "The `command_uid` was given to another command."
}

control! {
    /// Record a conference
    ///
    /// Its webhook is `conference.recording.started` when FreeSWITCH writes the file, or `conference.recording.failed`. It
    /// ends when it is stopped or when nobody is in the conference any more: `conference.recording.stopped`.
    record_start, "/api/v1/conferences/{room_id}/recording/start",
    Command, {"command_uid": "record-1"}, RecordingOperation,
    {"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "starting"},
    "Nobody is in the conference, or it is recorded already. Or the `command_uid` was given to another command."
}

control! {
    /// End the recording of a conference
    ///
    /// Its webhook is `conference.recording.stopped`.
    record_stop, "/api/v1/conferences/{room_id}/recording/stop",
    Command, {"command_uid": "record-2"}, RecordingOperation,
    {"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "stopping"},
    "It is not recorded. Or the `command_uid` was given to another command."
}

macro_rules! locking {
    ($(#[$doc:meta])* $name:ident, $path:literal, $uid:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "conferences",
            params(("room_id" = RoomIdText, Path, description = "The conference.")),
            request_body(content = Command, example = json!({"command_uid": $uid})),
            responses(
                (status = 202, description = "`in_progress`: FreeSWITCH was told, and the webhook comes when it says so. `locked` or `unlocked`: it is so, because it was, or because nobody is in the conference.", body = Lock, example = json!({"status": "in_progress"})),
                (status = 403, description = "The conference is another app's.", body = Failure),
                (status = 404, description = "There is no such conference.", body = Failure),
                (status = 409, description = "The `command_uid` was given to another command.", body = Failure),
                (status = 502, description = "FreeSWITCH refused.", body = Failure),
                (status = 504, description = "FreeSWITCH did not answer in time: it may be done or not.", body = Failure),
            )
        )]
        fn $name() {}
    };
}

locking! {
    /// Lock a conference
    ///
    /// From then on nobody comes in: a join is 409, and FreeSWITCH turns away whom the dialplan brings, but not calls that it
    /// dialled itself. Whoever is in stays. It is locked until it is unlocked, also when everybody has left; the first call
    /// that the dialplan brings into a locked conference that is empty comes in, and no further one.
    /// Its webhook is `conference.updated` with `locked`.
    lock, "/api/v1/conferences/{room_id}/lock", "lock-1"
}

locking! {
    /// Unlock a conference
    ///
    /// Its webhook is `conference.updated` with `locked`.
    unlock, "/api/v1/conferences/{room_id}/unlock", "unlock-1"
}

/// Take a member out of a conference
///
/// Like the leave of its call, but it names the conference, and the call may be another app's that the dialplan brought. The
/// call goes back into park, still up. Its webhook is `conference.member.left` with the reason `removed`. One that is still
/// joining does not come in: `conference.member.join_failed` with the reason `removed`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/kick", tag = "conferences",
    params(
        ("room_id" = RoomIdText, Path, description = "The conference."),
        ("uuid" = SessionIdText, Path, description = "The call."),
    ),
    request_body(content = Command, example = json!({"command_uid": "kick-1"})),
    responses(
        (status = 202, description = "It is begun, or was already; the webhook tells when it is done.", body = Status, example = json!({"status": "leaving", "room_id": ROOM})),
        (status = 403, description = "The conference is another app's.", body = Failure),
        (status = 404, description = "There is no such conference, or the call is not in it.", body = Failure),
        (status = 409, description = "The `command_uid` was given to another command.", body = Failure),
        (status = 502, description = "FreeSWITCH refused.", body = Failure),
        (status = 504, description = "FreeSWITCH did not answer in time: it may be done or not.", body = Failure),
    )
)]
fn kick() {}

/// List the nodes
///
/// The FreeSWITCH servers that conferences are on: how they are, and whether new conferences are made there. They are the
/// same for every app. `calls` counts those of all apps.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "nodes",
    responses((status = 200, description = "All of them.", body = NodeList,
     example = json!({"nodes": [{"id": "acW68", "state": "up", "synced": true, "draining": false, "calls": 12, "max_calls": 1000, "lag_ms": 23, "drift": 0, "resynced_at": "2026-05-06T12:34:56.672025Z"}]})))
)]
fn nodes() {}
