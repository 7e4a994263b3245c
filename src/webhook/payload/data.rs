//! The `data` of a webhook body: the fields that each event has besides those of all events.

use serde::Serialize;

use roomkeeper_core::call::{
    CallEvent, GatherResult, PressedDigit, TransferChange, TransferEvent, TransferTarget,
};
use roomkeeper_core::ids::{
    CallId, CommandUid, EndpointId, MemberId, OperationId, RecordingId, RoomId,
};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    CoachChange, DialChange, DialEvent, EndReason, MemberPlayEvent, MemberSettings, MemberUpdate,
    PlayEvent, PlayFailure, RecordingChange, RecordingFailure, RoomEvent, Update,
};
use roomkeeper_core::room::{Media, Spoken};

/// The `data` of an event. Absent fields are not sent.
#[derive(Serialize, Default)]
pub(super) struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(flatten)]
    pub(super) update: Option<&'a Update>,
    /// The name of the gateway API for the timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_duration: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caller_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) did: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) muted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) talking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_by: Option<CallId>,
    #[serde(flatten)]
    pub(super) member: Option<&'a MemberSettings>,
    #[serde(flatten)]
    pub(super) member_update: Option<&'a MemberUpdate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) conferencecall_id: Option<MemberId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// The room that a member moves from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<RoomId>,
    /// The room that a member moves to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'a str>,
    /// Whole seconds since the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) urls: Option<Vec<&'a PlayUrl>>,
    /// The text of a `say`.
    #[serde(flatten)]
    pub(super) spoken: Option<&'a Spoken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) music_url: Option<&'a PlayUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errors: Option<Vec<PlayError<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) volume: Option<i8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recording_id: Option<RecordingId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) coach: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint_id: Option<&'a EndpointId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digits: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digit: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<&'a str>,
    /// Empty if nothing plays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation_id: Option<String>,
    #[serde(flatten)]
    pub(super) dial: Option<DialData<'a>>,
    #[serde(flatten)]
    pub(super) transfer: Option<TransferData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_uid: Option<&'a CommandUid>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) synthesized: bool,
}

/// The fields of a dial-out's event.
#[derive(Serialize)]
pub(super) struct DialData<'a> {
    call_id: CallId,
    to: &'a str,
    attempt: u8,
    attempts: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_status: Option<u16>,
    /// RFC 3339; absent if no attempt follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<String>,
}

/// The fields of a transfer's event.
#[derive(Serialize)]
pub(super) struct TransferData<'a> {
    #[serde(flatten)]
    to: OtherSide<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip_status: Option<u16>,
}

/// The other side of a transfer.
#[derive(Serialize)]
#[serde(untagged)]
enum OtherSide<'a> {
    Destination {
        to: String,
    },
    Extension {
        extension: &'a str,
        context: &'a str,
    },
}

/// A file or a text that was not played.
#[derive(Serialize)]
pub(super) struct PlayError<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a PlayUrl>,
    #[serde(flatten)]
    spoken: Option<&'a Spoken>,
    error: &'static str,
}

/// Returns the data of a room's event.
pub(super) fn room_data(fact: &RoomEvent) -> Data<'_> {
    let none = Data::default();
    match fact {
        RoomEvent::Created { name } => Data {
            name: Some(name),
            ..none
        },
        RoomEvent::Updated(update) => Data {
            update: Some(update),
            max_duration: update.timeout,
            ..none
        },
        RoomEvent::Started { by } => Data {
            started_by: *by,
            ..none
        },
        RoomEvent::Locked { locked } => Data {
            locked: Some(*locked),
            ..none
        },
        RoomEvent::Recording {
            recording, change, ..
        } => Data {
            recording_id: Some(*recording),
            reason: match change {
                RecordingChange::Failed(reason) => reason.map(RecordingFailure::as_str),
                RecordingChange::Started
                | RecordingChange::Stopped
                | RecordingChange::Paused
                | RecordingChange::Resumed => None,
            },
            ..none
        },
        RoomEvent::MemberJoined {
            call: _,
            member,
            caller_id,
            did,
            muted,
            from,
            settings,
        } => Data {
            caller_id: Some(caller_id),
            did: Some(did),
            muted: Some(*muted),
            member: Some(settings),
            from: *from,
            conferencecall_id: Some(*member),
            ..none
        },
        RoomEvent::MemberReconnected { member, .. } => Data {
            conferencecall_id: Some(*member),
            ..none
        },
        RoomEvent::MemberUpdated { call: _, update } => Data {
            member_update: Some(update),
            ..none
        },
        RoomEvent::Coach { coach, change, .. } => Data {
            coach: Some(*coach),
            reason: match change {
                CoachChange::Began => None,
                CoachChange::Failed(why) | CoachChange::Ended(why) => Some(why.as_str()),
            },
            ..none
        },
        RoomEvent::MemberLeft { reason, to, .. } => Data {
            reason: Some(reason.as_str()),
            to: *to,
            ..none
        },
        RoomEvent::MoveFailed { to, reason, .. } => Data {
            reason: Some(reason.as_str()),
            to: Some(*to),
            ..none
        },
        RoomEvent::JoinFailed { reason, .. } => Data {
            reason: Some(reason.as_str()),
            ..none
        },
        RoomEvent::HoldChanged { music, .. } => Data {
            music_url: music.as_ref(),
            ..none
        },
        RoomEvent::Destroyed { reason } => Data {
            reason: reason.map(EndReason::as_str),
            ..none
        },
        RoomEvent::FlagChanged { .. } => none,
        RoomEvent::Gathered { result, .. } => gather_data(result),
        RoomEvent::Digit { pressed, .. } => digit_data(*pressed),
        RoomEvent::Talking { talking, .. } => Data {
            talking: Some(*talking),
            ..Data::default()
        },
        RoomEvent::TalkingMuted { .. } => Data::default(),
        RoomEvent::Play(fact) => play_data(fact),
        RoomEvent::MemberPlay { event, .. } => member_play_data(event),
        RoomEvent::Dial(event) => Data {
            dial: Some(dial_data(event)),
            ..none
        },
    }
}

fn dial_data(event: &DialEvent) -> DialData<'_> {
    let (cause, sip_status, retry_at) = match &event.change {
        DialChange::Ringing | DialChange::Answered => (None, None, None),
        DialChange::Ended {
            cause,
            sip_status,
            retry_at,
            outcome: _,
        } => (Some(cause.as_str()), *sip_status, *retry_at),
    };
    DialData {
        call_id: event.id,
        to: &event.to,
        attempt: event.attempt,
        attempts: event.attempts,
        cause,
        sip_status,
        retry_at: retry_at.map(|at| at.rfc3339_seconds()),
    }
}

fn transfer_data(event: &TransferEvent) -> TransferData<'_> {
    let (reason, cause, sip_status) = match &event.change {
        TransferChange::Answered => (None, None, None),
        TransferChange::Failed {
            reason,
            cause,
            sip_status,
        } => (Some(reason.as_str()), Some(cause.as_str()), *sip_status),
        TransferChange::Ended { reason, cause } => (Some(reason.as_str()), cause.as_deref(), None),
    };
    TransferData {
        to: match &event.to {
            TransferTarget::Destination(to) => OtherSide::Destination { to: to.to_string() },
            TransferTarget::Extension(extension, context) => OtherSide::Extension {
                extension: extension.as_str(),
                context: context.as_str(),
            },
        },
        reason,
        cause,
        sip_status,
    }
}

fn play_data(fact: &PlayEvent) -> Data<'_> {
    let of = |operation: &OperationId| Data {
        operation_id: Some(operation.to_string()),
        ..Data::default()
    };
    match fact {
        PlayEvent::Started { operation, media } => Data {
            urls: Some(media.iter().filter_map(Media::url).collect()),
            spoken: media.iter().find_map(Media::spoken),
            ..of(operation)
        },
        PlayEvent::Finished { operation, errors } => Data {
            errors: Some(errors.iter().map(play_error).collect()),
            ..of(operation)
        },
        PlayEvent::Paused { operation }
        | PlayEvent::Resumed { operation }
        | PlayEvent::Stopped { operation } => of(operation),
        PlayEvent::VolumeChanged { operation, volume } => Data {
            volume: Some(*volume),
            operation_id: Some(operation.map_or_else(String::new, |op| op.to_string())),
            ..Data::default()
        },
    }
}

fn digit_data(pressed: PressedDigit) -> Data<'static> {
    Data {
        digit: Some(pressed.digit),
        duration_ms: Some(pressed.duration_ms),
        ..Data::default()
    }
}

fn gather_data(result: &GatherResult) -> Data<'_> {
    Data {
        operation_id: Some(result.operation.to_string()),
        digits: Some(result.digits.as_str()),
        reason: Some(result.reason.as_str()),
        url: result.failed_prompt.as_ref().map(PlayUrl::as_str),
        ..Data::default()
    }
}

fn member_play_data(fact: &MemberPlayEvent) -> Data<'_> {
    let of = |operation: &OperationId| Data {
        operation_id: Some(operation.to_string()),
        ..Data::default()
    };
    match fact {
        MemberPlayEvent::Started { operation, media } => Data {
            urls: Some(media.iter().filter_map(Media::url).collect()),
            spoken: media.iter().find_map(Media::spoken),
            ..of(operation)
        },
        MemberPlayEvent::Finished { operation, errors } => Data {
            errors: Some(errors.iter().map(play_error).collect()),
            ..of(operation)
        },
        MemberPlayEvent::Stopped { operation } => of(operation),
    }
}

fn play_error((media, why): &(Media, PlayFailure)) -> PlayError<'_> {
    PlayError {
        url: media.url(),
        spoken: media.spoken(),
        error: why.as_str(),
    }
}

/// Returns the data of a call's event.
pub(super) fn session_data(fact: &CallEvent) -> Data<'_> {
    match fact {
        CallEvent::New {
            caller_id,
            did,
            direction,
        } => Data {
            caller_id: Some(caller_id),
            did: Some(did),
            direction: Some(direction.as_str()),
            ..Data::default()
        },
        CallEvent::Answered => Data::default(),
        CallEvent::Digit(pressed) => digit_data(*pressed),
        CallEvent::Gathered(result) => Data {
            command_uid: result.command_uid.as_ref(),
            ..gather_data(result)
        },
        CallEvent::Transfer(event) => Data {
            transfer: Some(transfer_data(event)),
            command_uid: event.command_uid.as_ref(),
            ..Data::default()
        },
        CallEvent::Hangup { cause, duration } => Data {
            cause: Some(cause),
            duration: Some(duration.as_secs()),
            ..Data::default()
        },
    }
}
