//! Webhook bodies: domain events of the pure core as the JSON of the contract.
//!
//! Pure: the id and the time come in. Owns the event names and the form of the body. Leaves out the recipients.
//!
//! ```json
//! {"event": "conference.member.left", "timestamp": "2026-05-06T12:34:56.000000Z", "app_id": "demo",
//!  "room_id": "acW68-room-…", "session_uuid": "acW68-…", "sequence": 7, "data": {"reason": "hangup"}}
//! ```

mod data;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::store::endpoints::DisabledWhy;
use crate::store::live::LiveEvent;
use crate::store::{Message, Scope};
use roomkeeper_core::call::{CallEvent, CallNotification};
use roomkeeper_core::ids::{AppId, CallId, EndpointId, MemberId, RoomId};
use roomkeeper_core::room::{LiveChange, RoomEvent, RoomNotification};
use roomkeeper_core::time::Timestamp;

use self::data::{Data, room_data, session_data};

/// The names of all events in the order of the documentation. Endpoints choose among these.
pub fn event_names() -> impl Iterator<Item = &'static str> + Clone {
    let of_things = RoomEvent::NAMES.iter().chain(CallEvent::NAMES);
    of_things.chain(&EndpointEvent::NAMES).copied()
}

/// The events that an endpoint gets only if its filter names them, and that are sent only then: those of digits and talk, which are
/// many.
pub const OPT_IN: [&str; 4] = [
    "conference.member.dtmf",
    "call.dtmf",
    "conference.member.talking",
    "conference.member.talking_muted",
];

/// The body. Fields are sent in this order.
#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    timestamp: String,
    app_id: &'a AppId,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_uuid: Option<CallId>,
    sequence: u64,
    data: Data<'a>,
}

/// The time of a message's event, just before its commit; `None` for a body of another form.
pub fn event_time(message: &Message) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Timestamped<'a> {
        timestamp: &'a str,
    }
    let body: Timestamped<'_> = serde_json::from_str(&message.body).ok()?;
    Timestamp::from_rfc3339(body.timestamp)
}

/// Creates the message of a room's notification. `id` is unique and generated before the commit; `at` is the time of
/// the event.
pub fn room_message(
    id: Uuid,
    app: &AppId,
    room: RoomId,
    notice: &RoomNotification,
    at: Timestamp,
) -> Message {
    let data = room_data(&notice.event);
    message(
        id,
        Scope::Room(room),
        Body {
            event: notice.event.name(),
            timestamp: at.rfc3339_micros(),
            app_id: app,
            room_id: Some(room),
            session_uuid: notice.event.call(),
            sequence: notice.sequence,
            data: Data {
                command_uid: notice.command_uid.as_ref(),
                synthesized: notice.synthesized,
                ..data
            },
        },
    )
}

/// Creates the message of a call's notification; the arguments are those of [`room_message`].
pub fn session_message(
    id: Uuid,
    app: &AppId,
    session: CallId,
    notice: &CallNotification,
    at: Timestamp,
) -> Message {
    let data = session_data(&notice.event);
    message(
        id,
        Scope::Session(session),
        Body {
            event: notice.event.name(),
            timestamp: at.rfc3339_micros(),
            app_id: app,
            room_id: None,
            session_uuid: Some(session),
            sequence: notice.sequence,
            data: Data {
                synthesized: notice.synthesized,
                ..data
            },
        },
    )
}

/// An event about a webhook endpoint.
#[derive(Clone, Copy, Debug)]
pub enum EndpointEvent {
    /// The endpoint was disabled.
    Disabled {
        /// The reason.
        why: DisabledWhy,
    },
    /// A test that its owner requested.
    Test,
}

impl EndpointEvent {
    /// The names of all events.
    pub const NAMES: [&str; 2] = ["webhook.disabled", "webhook.test"];

    /// The name of the event.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Disabled { .. } => Self::NAMES[0],
            Self::Test => Self::NAMES[1],
        }
    }
}

/// Creates the message of an event about the endpoint at `url`. It belongs to no room or call, so its sequence is 0.
pub fn endpoint_message(
    id: Uuid,
    app: &AppId,
    endpoint: &EndpointId,
    url: &Url,
    event: EndpointEvent,
    at: Timestamp,
) -> Message {
    let reason = match event {
        EndpointEvent::Disabled { why } => Some(why.as_str()),
        EndpointEvent::Test => None,
    };
    // The query may contain a token, and other endpoints of the app get this message.
    let mut shown = url.clone();
    shown.set_query(None);
    message(
        id,
        Scope::Webhooks,
        Body {
            event: event.name(),
            timestamp: at.rfc3339_micros(),
            app_id: app,
            room_id: None,
            session_uuid: None,
            sequence: 0,
            data: Data {
                endpoint_id: Some(endpoint),
                url: Some(shown.as_str()),
                reason,
                ..Data::default()
            },
        },
    )
}

/// The body of a live event, which is not stored: like [`Body`] without a sequence.
#[derive(Serialize)]
struct LiveBody<'a> {
    event: &'static str,
    timestamp: String,
    app_id: &'a AppId,
    room_id: RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_uuid: Option<CallId>,
    data: LiveData,
}

#[derive(Serialize)]
struct LiveData {
    /// The call, also in `data`: for the floor, `null` means that no call has it.
    session_uuid: Option<CallId>,
    conferencecall_id: Option<MemberId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    talking: Option<bool>,
}

/// Creates a live event; `at` is its time.
pub fn live_event(app: &AppId, room: RoomId, fact: &LiveChange, at: Timestamp) -> LiveEvent {
    let (session, member, talking) = match *fact {
        LiveChange::Talking {
            call: session,
            member,
            talking,
        } => (Some(session), Some(member), Some(talking)),
        LiveChange::Floor { holder, member } => (holder, member, None),
    };
    let event = fact.name();
    let body = LiveBody {
        event,
        timestamp: at.rfc3339_micros(),
        app_id: app,
        room_id: room,
        session_uuid: session,
        data: LiveData {
            session_uuid: session,
            conferencecall_id: member,
            talking,
        },
    };
    LiveEvent {
        app: app.clone(),
        room,
        event: event.to_owned(),
        body: text(&body),
    }
}

fn text(body: &impl Serialize) -> String {
    match serde_json::to_string(body) {
        Ok(text) => text,
        // Strings, numbers and booleans always serialize.
        Err(e) => unreachable!("a webhook body is always JSON: {e}"),
    }
}

fn message(id: Uuid, scope: Scope, body: Body<'_>) -> Message {
    Message {
        id: format!("msg_{}", id.simple()),
        app: body.app_id.clone(),
        scope,
        sequence: body.sequence,
        event: body.event.to_owned(),
        body: text(&body),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use roomkeeper_core::call::Direction;
    use roomkeeper_core::ids::OperationId;
    use roomkeeper_core::play_url::PlayUrl;
    use roomkeeper_core::room::{
        JoinFailure, LeftReason, MemberFlag, MemberSettings, MemberUpdate, PlayEvent, PlayFailure,
        Sparse,
    };
    use roomkeeper_core::room::{Media, Spoken};
    use roomkeeper_core::speech::{Speech, VoiceName};

    const CALL: &str = "acW68-550e8400-e29b-41d4-a716-446655440000";
    const ROOM: &str = "acW68-room-7c9e6679-7425-40de-944b-e07fc1f90ae7";
    const MEMBER: &str = "f47ac10b-58cc-8372-a567-0e02b2c3d479";

    fn at() -> Timestamp {
        Timestamp::from_micros(1_778_070_896_672_025)
    }

    fn room_message_with(fact: RoomEvent, command_uid: Option<&str>, synthesized: bool) -> Message {
        let notice = RoomNotification {
            sequence: 7,
            event: fact,
            command_uid: command_uid.map(|uid| uid.parse().unwrap()),
            synthesized,
        };
        let message = room_message(
            Uuid::from_u128(1),
            &"demo".parse().unwrap(),
            ROOM.parse().unwrap(),
            &notice,
            at(),
        );
        assert_eq!(message.scope, Scope::Room(ROOM.parse().unwrap()));
        message
    }

    fn call_message_with(fact: CallEvent, synthesized: bool) -> Message {
        let notice = CallNotification {
            sequence: 3,
            event: fact,
            synthesized,
        };
        let message = session_message(
            Uuid::from_u128(1),
            &"demo".parse().unwrap(),
            CALL.parse().unwrap(),
            &notice,
            at(),
        );
        assert_eq!(message.scope, Scope::Session(CALL.parse().unwrap()));
        message
    }

    /// A body is `head`, the sequence and `data`; the message repeats what is needed without reading the body.
    fn check(message: Message, event: &str, ids: &str, data: &str) {
        let sequence = message.sequence;
        let expected = format!(
            r#"{{"event":"{event}","timestamp":"2026-05-06T12:34:56.672025Z","app_id":"demo",{ids},"sequence":{sequence},"data":{data}}}"#
        );
        assert_eq!(message.body, expected);
        assert_eq!(message.event, event);
        assert_eq!(message.app.as_str(), "demo");
        assert_eq!(message.id, "msg_00000000000000000000000000000001");
        assert!(
            event_names().any(|name| name == event),
            "{event} is not in the list"
        );
    }

    fn flag_changed(session: CallId, on: bool) -> RoomEvent {
        let flag = MemberFlag::Speak;
        RoomEvent::FlagChanged {
            call: session,
            flag,
            on,
        }
    }

    #[test]
    fn events_of_a_room() {
        let ids = format!(r#""room_id":"{ROOM}""#);
        check(
            room_message_with(
                RoomEvent::Created {
                    name: "weekly \"standup\"".into(),
                },
                None,
                false,
            ),
            "conference.created",
            &ids,
            r#"{"name":"weekly \"standup\""}"#,
        );
        check(
            room_message_with(RoomEvent::Destroyed { reason: None }, None, false),
            "conference.destroyed",
            &ids,
            "{}",
        );
    }

    #[test]
    fn events_of_a_member() {
        let session: CallId = CALL.parse().unwrap();
        let member: MemberId = MEMBER.parse().unwrap();
        let ids = format!(r#""room_id":"{ROOM}","session_uuid":"{CALL}""#);
        let joined = |muted| RoomEvent::MemberJoined {
            call: session,
            member,
            caller_id: "+15551234".into(),
            did: "747713001".into(),
            muted,
            from: None,
            settings: Sparse::default(),
        };
        check(
            room_message_with(joined(true), Some("join-1"), false),
            "conference.member.joined",
            &ids,
            &format!(
                r#"{{"caller_id":"+15551234","did":"747713001","muted":true,"conferencecall_id":"{MEMBER}","command_uid":"join-1"}}"#
            ),
        );
        check(
            room_message_with(joined(false), None, true),
            "conference.member.joined",
            &ids,
            &format!(
                r#"{{"caller_id":"+15551234","did":"747713001","muted":false,"conferencecall_id":"{MEMBER}","synthesized":true}}"#
            ),
        );
        let labels = || serde_json::from_str(r#"{"team":"a \"b\""}"#).unwrap();
        let labelled = RoomEvent::MemberJoined {
            call: session,
            member,
            caller_id: String::new(),
            did: String::new(),
            muted: false,
            from: None,
            settings: Sparse::new(MemberSettings {
                labels: labels(),
                ..MemberSettings::default()
            }),
        };
        check(
            room_message_with(labelled, None, false),
            "conference.member.joined",
            &ids,
            &format!(
                r#"{{"caller_id":"","did":"","muted":false,"labels":{{"team":"a \"b\""}},"conferencecall_id":"{MEMBER}"}}"#
            ),
        );
        let updated = RoomEvent::MemberUpdated {
            call: session,
            update: Box::new(MemberUpdate {
                labels: Some(labels()),
                ..MemberUpdate::default()
            }),
        };
        check(
            room_message_with(updated, Some("u-1"), false),
            "conference.member.updated",
            &ids,
            r#"{"labels":{"team":"a \"b\""},"command_uid":"u-1"}"#,
        );
        for reason in [
            LeftReason::Hangup,
            LeftReason::Removed,
            LeftReason::Moved,
            LeftReason::Transferred,
            LeftReason::RoomDestroyed,
            LeftReason::Timeout,
            LeftReason::Orphan,
        ] {
            let fact = RoomEvent::MemberLeft {
                call: session,
                member,
                reason,
                to: None,
            };
            check(
                room_message_with(fact, Some("leave-1"), false),
                "conference.member.left",
                &ids,
                &format!(r#"{{"reason":"{reason}","command_uid":"leave-1"}}"#),
            );
        }
        let moved = RoomEvent::MemberLeft {
            call: session,
            member,
            reason: LeftReason::Moved,
            to: Some(ROOM.parse().unwrap()),
        };
        check(
            room_message_with(moved, None, false),
            "conference.member.left",
            &ids,
            &format!(r#"{{"reason":"moved","to":"{ROOM}"}}"#),
        );
        let not_moved = RoomEvent::MoveFailed {
            call: session,
            to: ROOM.parse().unwrap(),
            reason: JoinFailure::Refused,
        };
        check(
            room_message_with(not_moved, Some("move-1"), false),
            "conference.member.move_failed",
            &ids,
            &format!(r#"{{"reason":"refused","to":"{ROOM}","command_uid":"move-1"}}"#),
        );
        let failed = RoomEvent::JoinFailed {
            call: session,
            member,
            reason: JoinFailure::Refused,
        };
        check(
            room_message_with(failed, None, false),
            "conference.member.join_failed",
            &ids,
            r#"{"reason":"refused"}"#,
        );
        check(
            room_message_with(flag_changed(session, false), Some("m.1"), false),
            "conference.member.muted",
            &ids,
            r#"{"command_uid":"m.1"}"#,
        );
        check(
            room_message_with(flag_changed(session, true), None, true),
            "conference.member.unmuted",
            &ids,
            r#"{"synthesized":true}"#,
        );
    }

    #[test]
    fn events_of_what_plays() {
        let ids = format!(r#""room_id":"{ROOM}""#);
        let operation: OperationId = MEMBER.parse().unwrap();
        let url = PlayUrl::new("https://cdn.example.com/a b.wav").unwrap();
        let op = format!(r#""operation_id":"{MEMBER}""#);
        let tells = |fact, uid, event, data: &str| {
            check(
                room_message_with(RoomEvent::Play(fact), uid, false),
                event,
                &ids,
                data,
            );
        };
        tells(
            PlayEvent::Started {
                operation,
                media: vec![url.clone().into()],
            },
            Some("p-1"),
            "conference.play.started",
            &format!(
                r#"{{"urls":["https://cdn.example.com/a%20b.wav"],{op},"command_uid":"p-1"}}"#
            ),
        );
        tells(
            PlayEvent::Finished {
                operation,
                errors: Vec::new(),
            },
            None,
            "conference.play.finished",
            &format!(r#"{{"errors":[],{op}}}"#),
        );
        tells(
            PlayEvent::Finished {
                operation,
                errors: vec![(url.into(), PlayFailure::Refused)],
            },
            None,
            "conference.play.finished",
            &format!(
                r#"{{"errors":[{{"url":"https://cdn.example.com/a%20b.wav","error":"the file could not be played"}}],{op}}}"#
            ),
        );
        let said = || {
            Media::Speech(Spoken {
                text: Speech::new("It's \"five\"").unwrap(),
                voice: VoiceName::new("slt").ok(),
            })
        };
        let text = r#""text":"It's \"five\"","voice":"slt""#;
        tells(
            PlayEvent::Started {
                operation,
                media: vec![said()],
            },
            None,
            "conference.play.started",
            &format!(r#"{{"urls":[],{text},{op}}}"#),
        );
        tells(
            PlayEvent::Finished {
                operation,
                errors: vec![(said(), PlayFailure::Refused)],
            },
            None,
            "conference.play.finished",
            &format!(r#"{{"errors":[{{{text},"error":"the file could not be played"}}],{op}}}"#),
        );
        for (fact, event) in [
            (PlayEvent::Paused { operation }, "conference.play.paused"),
            (PlayEvent::Resumed { operation }, "conference.play.resumed"),
            (PlayEvent::Stopped { operation }, "conference.play.stopped"),
        ] {
            tells(fact, None, event, &format!("{{{op}}}"));
        }
        for (operation, id) in [(Some(operation), MEMBER), (None, "")] {
            let fact = PlayEvent::VolumeChanged {
                operation,
                volume: -50,
            };
            let data = format!(r#"{{"volume":-50,"operation_id":"{id}"}}"#);
            tells(fact, None, "conference.play.volume_changed", &data);
        }
    }

    #[test]
    fn events_of_a_call() {
        let ids = format!(r#""session_uuid":"{CALL}""#);
        let new = |direction| CallEvent::New {
            caller_id: "anonymous".into(),
            did: "747713001".into(),
            direction,
        };
        check(
            call_message_with(new(Direction::Inbound), false),
            "call.new",
            &ids,
            r#"{"caller_id":"anonymous","did":"747713001","direction":"inbound"}"#,
        );
        check(
            call_message_with(new(Direction::Outbound), true),
            "call.new",
            &ids,
            r#"{"caller_id":"anonymous","did":"747713001","direction":"outbound","synthesized":true}"#,
        );
        check(
            call_message_with(CallEvent::Answered, false),
            "call.answered",
            &ids,
            "{}",
        );
        let hangup = CallEvent::Hangup {
            cause: "NORMAL_CLEARING".into(),
            duration: Duration::from_millis(61_900),
        };
        check(
            call_message_with(hangup, false),
            "call.hangup",
            &ids,
            r#"{"cause":"NORMAL_CLEARING","duration":61}"#,
        );
    }
}
