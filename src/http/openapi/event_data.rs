//! Schemas of the bodies of events. `webhook::payload` and `events::reader` write them; tests compare.
#![allow(
    dead_code,
    reason = "the macros read these types, the program does not"
)]

use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::schemas::{
    CommandUidText, MemberSettingsText, RoomIdText, SessionIdText, ShownRoomSettingsText,
};

/// Declares the `data` of events that a command can cause, and the list of all schemas.
macro_rules! event_data {
    ($($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $kind:ty,)* })+) => {
        $(
            $(#[$about])*
            #[derive(ToSchema)]
            pub(super) struct $name {
                $($(#[$of])* $field: $kind,)*
                #[schema(required = false, value_type = CommandUidText)]
                command_uid: String,
                #[schema(required = false, value_type = Synthesized)]
                synthesized: bool,
            }
        )+
    };
}

/// `true` if a snapshot revealed the change and no event reported it; omitted otherwise.
#[derive(ToSchema)]
struct Synthesized(bool);

event_data! {
    RoomCreated { name: String, }
    /// The changed fields.
    RoomUpdated {
        #[schema(required = false)]
        name: String,
        #[schema(required = false)]
        detail: String,
        #[schema(required = false, value_type = Object)]
        data: (),
        /// Seconds from the creation until the conference ends; 0: never.
        #[schema(required = false)]
        timeout: u32,
        #[schema(required = false, value_type = Vec<Object>)]
        pre_actions: (),
        #[schema(required = false, value_type = Vec<Object>)]
        post_actions: (),
        #[schema(required = false)]
        locked: bool,
        #[serde(flatten)]
        settings: ShownRoomSettingsText,
    }
    RoomStarted {
        /// The session of the member with which the conference starts; omitted if `wait_for_moderator` was switched off.
        #[schema(required = false)]
        started_by: String,
    }
    RoomDestroyed {
        /// `member_left` if a member with `end_on_exit` has left.
        #[schema(required = false)]
        reason: String,
    }
    MemberJoined {
        /// The caller's number.
        caller_id: String,
        /// The dialled number.
        did: String,
        muted: bool,
        /// The membership.
        conferencecall_id: Uuid,
        #[serde(flatten)]
        settings: MemberSettingsText,
        /// The conference that the member moved from.
        #[schema(required = false)]
        from: String,
    }
    /// The changed settings.
    MemberUpdated {
        #[serde(flatten)]
        settings: MemberSettingsText,
    }
    MemberReconnected {
        /// The membership, the same as before.
        conferencecall_id: Uuid,
    }
    MemberLeft {
        reason: LeftReason,
        /// The conference that the member moves to.
        #[schema(required = false)]
        to: String,
    }
    MemberMoveFailed {
        reason: JoinFailureReason,
        /// The conference that did not admit the member.
        to: String,
    }
    MemberFlagChanged {}
    MemberTalks {
        /// `false`: it stopped.
        talking: bool,
    }
    MemberTalksMuted {}
    DigitReceived {
        digit: String,
        /// The duration of the tone, in milliseconds.
        duration_ms: u32,
    }
    MemberCoached {
        /// The session of the coach.
        coach: String,
    }
    MemberCoachEnded {
        /// The session of the coach.
        coach: String,
        reason: CoachEndReason,
    }
    DigitsGathered {
        operation_id: Uuid,
        /// The digits so far.
        digits: String,
        reason: GatherEndReason,
        /// The prompt that could not be played.
        #[schema(required = false)]
        url: String,
    }
    MemberHeld {
        /// The music on hold; omitted if the member hears silence.
        #[schema(required = false)]
        music_url: String,
    }
    MemberJoinFailed { reason: JoinFailureReason, }
    PlaybackStarted {
        operation_id: Uuid,
        /// Empty for a text.
        urls: Vec<String>,
        /// The text of a `say`.
        #[schema(required = false)]
        text: String,
        /// The voice of the text, if the request named one.
        #[schema(required = false)]
        voice: String,
    }
    PlaybackFinished {
        operation_id: Uuid,
        /// The files and texts that could not be played.
        errors: Vec<PlaybackError>,
    }
    PlaybackChanged { operation_id: Uuid, }
    PlaybackVolumeChanged {
        /// Empty if nothing plays.
        operation_id: String,
        /// In decibels.
        #[schema(minimum = -50, maximum = 7)]
        volume: i8,
    }
    RecordingChanged { recording_id: Uuid, }
    RecordingFailed {
        recording_id: Uuid,
        /// Omitted if FreeSWITCH did not record.
        #[schema(required = false)]
        reason: RecordingFailureReason,
    }
    DialProgressed {
        /// The id of the dial-out: the session of the first attempt.
        #[schema(value_type = SessionIdText)]
        call_id: String,
        /// The destination.
        to: String,
        /// The number of the attempt, from 1.
        attempt: u8,
        /// The number of attempts that the request allows.
        attempts: u8,
    }
    DialEnded {
        /// The id of the dial-out: the session of the first attempt.
        #[schema(value_type = SessionIdText)]
        call_id: String,
        /// The destination.
        to: String,
        /// The number of the attempt, from 1.
        attempt: u8,
        /// The number of attempts that the request allows.
        attempts: u8,
        /// FreeSWITCH's name of the hang-up cause; `UNKNOWN` if nothing reported it.
        cause: String,
        /// The status of the callee's last SIP response; omitted if there was none.
        #[schema(required = false)]
        sip_status: u16,
        /// The time of the next attempt; omitted if the dial-out is over.
        #[schema(required = false, format = DateTime)]
        retry_at: String,
    }
    CallArrived {
        caller_id: String,
        did: String,
        #[schema(inline)]
        direction: CallArrivedDirection,
    }
    CallAnswered {}
    Transferred {
        /// The number or SIP address of the other side; omitted for an extension.
        #[schema(required = false)]
        to: String,
        /// The extension, with its `context`; omitted for a number or SIP address.
        #[schema(required = false)]
        extension: String,
        #[schema(required = false)]
        context: String,
    }
    TransferFailed {
        /// The number or SIP address of the other side; omitted for an extension.
        #[schema(required = false)]
        to: String,
        /// The extension, with its `context`; omitted for a number or SIP address.
        #[schema(required = false)]
        extension: String,
        #[schema(required = false)]
        context: String,
        reason: TransferFailureReason,
        /// FreeSWITCH's name of the hang-up cause; `UNKNOWN` if nothing reported it.
        cause: String,
        /// The status of the last SIP response of the other side; omitted if there was none.
        #[schema(required = false)]
        sip_status: u16,
    }
    TransferEnded {
        /// The number or SIP address of the other side; omitted for an extension.
        #[schema(required = false)]
        to: String,
        /// The extension, with its `context`; omitted for a number or SIP address.
        #[schema(required = false)]
        extension: String,
        #[schema(required = false)]
        context: String,
        reason: TransferEndReason,
        /// FreeSWITCH's name of the hang-up cause of the other side; omitted if it is not known.
        #[schema(required = false)]
        cause: String,
    }
    CallEnded {
        /// FreeSWITCH's name of the hang-up cause.
        cause: String,
        /// Whole seconds since the answer.
        duration: u64,
    }
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum CallArrivedDirection {
    Inbound,
    Outbound,
}

/// The reason why a member left.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum LeftReason {
    Hangup,
    Removed,
    Moved,
    Transferred,
    RoomDestroyed,
    Timeout,
    Silence,
    Orphan,
}

/// The reason why a coaching ended or did not begin.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum CoachEndReason {
    Requested,
    MemberLeft,
    Hangup,
    Removed,
    Timeout,
    Refused,
    Orphan,
}

/// The reason why a transfer was not answered: `removed` if somebody else moved the call.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum TransferFailureReason {
    Busy,
    NoAnswer,
    Failed,
    Cancelled,
    Removed,
}

/// The reason why an answered transfer ended: the other side hung up, a caller ended it, or somebody else moved the call.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum TransferEndReason {
    Hangup,
    Cancelled,
    Removed,
}

/// The reason why a call did not join.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum JoinFailureReason {
    Timeout,
    Refused,
    Hangup,
    RoomDestroyed,
    Moved,
    Orphan,
    Removed,
    ActionFailed,
    Pin,
}

/// The reason why a request for digits ended: enough digits, too few, none, the call ended, it was stopped or moved, or
/// the prompt could not be played.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum GatherEndReason {
    Matched,
    Timeout,
    NoInput,
    Hangup,
    Stopped,
    Failed,
}

/// The reason why a recording did not begin: its announcement was not played to the end, or it was stopped before.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum RecordingFailureReason {
    Announcement,
    Stopped,
}

/// A file or a text that could not be played: it has either a `url` or a `text`.
#[derive(ToSchema)]
struct PlaybackError {
    #[schema(required = false)]
    url: String,
    #[schema(required = false)]
    text: String,
    /// The voice of the text, if the request named one.
    #[schema(required = false)]
    voice: String,
    error: String,
}

/// Another webhook endpoint of the app.
#[derive(ToSchema)]
pub(super) struct WebhookDisabled {
    endpoint_id: String,
    url: String,
    #[schema(inline)]
    reason: WebhookDisabledReason,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum WebhookDisabledReason {
    Gone,
    Failing,
}

/// The endpoint that gets the event.
#[derive(ToSchema)]
pub(super) struct WebhookTested {
    endpoint_id: String,
    url: String,
}

#[derive(ToSchema)]
pub(super) struct MemberTalking {
    #[schema(value_type = SessionIdText)]
    session_uuid: String,
    conferencecall_id: Uuid,
    talking: bool,
}

/// The member that has the floor; both `null` if no member has it.
#[derive(ToSchema)]
pub(super) struct MemberFloor {
    #[schema(required = true, value_type = Option<SessionIdText>)]
    session_uuid: Option<String>,
    #[schema(required = true)]
    conferencecall_id: Option<Uuid>,
}

#[derive(ToSchema)]
pub(super) struct StreamOpened {
    /// `true` if the stream continues after the `Last-Event-ID` of the request.
    resumed: bool,
}

#[derive(ToSchema)]
pub(super) struct StreamInterrupted {
    nodes: Vec<MissingEvents>,
}

/// The number of missing events of a node.
#[derive(ToSchema)]
struct MissingEvents {
    node: String,
    /// `null` if unknown.
    #[schema(required = true)]
    missing: Option<u64>,
}

/// Declares the fields around the `data` of an event.
macro_rules! envelopes {
    ($($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $kind:ty,)* })+) => {
        $(
            $(#[$about])*
            #[derive(ToSchema)]
            pub(super) struct $name {
                #[schema(format = DateTime)]
                timestamp: String,
                app_id: String,
                $($(#[$of])* $field: $kind,)*
            }
        )+
    };
}

envelopes! {
    /// An event of a conference.
    RoomEnvelope {
        #[schema(value_type = RoomIdText)]
        room_id: String,
        /// Counts the events of the conference from 1 without a gap.
        sequence: u64,
    }
    /// An event of a member of a conference, or of a call that a conference dials.
    MemberEnvelope {
        #[schema(value_type = RoomIdText)]
        room_id: String,
        #[schema(value_type = SessionIdText)]
        session_uuid: String,
        /// Counts the events of the conference from 1 without a gap.
        sequence: u64,
    }
    /// An event of a call.
    CallEnvelope {
        #[schema(value_type = SessionIdText)]
        session_uuid: String,
        /// Counts the events of the call from 1 without a gap.
        sequence: u64,
    }
    /// An event that concerns no conference and no call.
    AppEnvelope {
        /// Always 0.
        sequence: u64,
    }
    /// An event of the event stream alone, which is not stored.
    LiveEnvelope {
        #[schema(value_type = RoomIdText)]
        room_id: String,
        #[schema(required = false, value_type = SessionIdText)]
        session_uuid: String,
    }
    /// An event about the stream itself.
    StreamEnvelope {
        /// The conference of the stream.
        #[schema(required = false, value_type = RoomIdText)]
        room_id: String,
    }
}

/// All schemas of events; the names of events are in `events`.
#[derive(OpenApi)]
#[openapi(components(schemas(
    RoomCreated,
    RoomUpdated,
    RoomStarted,
    RoomDestroyed,
    MemberJoined,
    MemberUpdated,
    MemberLeft,
    MemberReconnected,
    MemberMoveFailed,
    MemberFlagChanged,
    MemberCoached,
    MemberCoachEnded,
    MemberHeld,
    MemberJoinFailed,
    MemberTalks,
    MemberTalksMuted,
    DigitReceived,
    DigitsGathered,
    PlaybackStarted,
    PlaybackFinished,
    PlaybackChanged,
    PlaybackVolumeChanged,
    RecordingChanged,
    RecordingFailed,
    DialProgressed,
    DialEnded,
    CallArrived,
    CallAnswered,
    CallEnded,
    Transferred,
    TransferFailed,
    TransferEnded,
    WebhookDisabled,
    WebhookTested,
    MemberTalking,
    MemberFloor,
    StreamOpened,
    StreamInterrupted,
    RoomEnvelope,
    MemberEnvelope,
    CallEnvelope,
    AppEnvelope,
    LiveEnvelope,
    StreamEnvelope,
)))]
pub(super) struct EventSchemas;
