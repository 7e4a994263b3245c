//! What an app is told: facts of the pure core as the JSON of the contract.
//!
//! Pure: the id and the time come in. Owns the names of the events and the form of the body. Leaves out who gets it.
//!
//! ```json
//! {"event": "conference.member.left", "timestamp": "2026-05-06T12:34:56.000000Z", "app_id": "demo",
//!  "room_id": "acW68-room-…", "session_uuid": "acW68-…", "sequence": 7, "data": {"reason": "hangup"}}
//! ```

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::ids::{
    AppId, CommandUid, EndpointId, MemberId, OperationId, RecordingId, RoomId, SessionId,
};
use crate::play_url::PlayUrl;
use crate::room::{LiveFact, PlayFact, RoomFact, RoomNotice, Unplayed, Update};
use crate::session::{SessionFact, SessionNotice};
use crate::store::endpoints::DisabledWhy;
use crate::store::live::LiveEvent;
use crate::store::{Message, Scope};
use crate::time::Timestamp;

/// Every event of the contract, in its order. Endpoints choose among these.
pub const EVENTS: &[&str] = &[
    "conference.created",
    "conference.updated",
    "conference.destroyed",
    "conference.member.joined",
    "conference.member.left",
    "conference.member.muted",
    "conference.member.unmuted",
    "conference.member.join_failed",
    "conference.play.started",
    "conference.play.finished",
    "conference.play.paused",
    "conference.play.resumed",
    "conference.play.stopped",
    "conference.play.volume_changed",
    "conference.recording.started",
    "conference.recording.stopped",
    "conference.recording.failed",
    "call.new",
    "call.answered",
    "call.hangup",
    "webhook.disabled",
    "webhook.test",
];

/// What is shown to those who look just now and sent to no receiver: the names of [`live_event`].
pub const LIVE_EVENTS: &[&str] = &["member.talking", "member.floor"];

/// The body. Fields are sent in this order.
#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    timestamp: String,
    app_id: &'a AppId,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<RoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_uuid: Option<SessionId>,
    sequence: u64,
    data: Data<'a>,
}

/// What is specific to an event; what it does not have is left out.
#[derive(Serialize, Default)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    update: Option<&'a Update>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conferencecall_id: Option<MemberId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    /// Whole seconds since the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<&'a [PlayUrl]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<PlayError<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<i8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_id: Option<RecordingId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_id: Option<&'a EndpointId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    /// Empty where nothing plays.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_uid: Option<&'a CommandUid>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    synthesized: bool,
}

/// A file that was not played.
#[derive(Serialize)]
struct PlayError<'a> {
    url: &'a PlayUrl,
    error: &'static str,
}

/// When what a message tells came to be: just before its commit. `None` for a body of another form.
pub fn told_at(message: &Message) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Told<'a> {
        timestamp: &'a str,
    }
    let told: Told<'_> = serde_json::from_str(&message.body).ok()?;
    Timestamp::from_rfc3339(told.timestamp)
}

/// The message that tells of a room's notice. `id` is new for each notice, made before its commit; `at` is when
/// the notice came to be.
pub fn room_message(
    id: Uuid,
    app: &AppId,
    room: RoomId,
    notice: &RoomNotice,
    at: Timestamp,
) -> Message {
    let (event, session, data) = room_data(&notice.fact);
    message(
        id,
        Scope::Room(room),
        Body {
            event,
            timestamp: at.rfc3339_micros(),
            app_id: app,
            room_id: Some(room),
            session_uuid: session,
            sequence: notice.sequence,
            data: Data {
                command_uid: notice.command_uid.as_ref(),
                synthesized: notice.synthesized,
                ..data
            },
        },
    )
}

/// The message that tells of a call's notice; the arguments are as those of [`room_message`].
pub fn session_message(
    id: Uuid,
    app: &AppId,
    session: SessionId,
    notice: &SessionNotice,
    at: Timestamp,
) -> Message {
    let (event, data) = session_data(&notice.fact);
    message(
        id,
        Scope::Session(session),
        Body {
            event,
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

/// What happened to a receiver of an app.
#[derive(Clone, Copy, Debug)]
pub enum ReceiverFact {
    /// It is not called any more.
    Disabled {
        /// Why.
        why: DisabledWhy,
    },
    /// Its owner wants to see whether it works.
    Test,
}

/// The message that tells of a receiver, which is at `url`. It is of no room and no call, so it is not counted: its
/// sequence is 0.
pub fn receiver_message(
    id: Uuid,
    app: &AppId,
    endpoint: &EndpointId,
    url: &Url,
    fact: ReceiverFact,
    at: Timestamp,
) -> Message {
    let (event, reason) = match fact {
        ReceiverFact::Disabled { why } => ("webhook.disabled", Some(why.as_str())),
        ReceiverFact::Test => ("webhook.test", None),
    };
    // A query is where receivers keep their tokens, and another of the app's receivers is told.
    let mut shown = url.clone();
    shown.set_query(None);
    message(
        id,
        Scope::Webhooks,
        Body {
            event,
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

/// The body of what is not stored. It is like [`Body`], but not counted.
#[derive(Serialize)]
struct LiveBody<'a> {
    event: &'static str,
    timestamp: String,
    app_id: &'a AppId,
    room_id: RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_uuid: Option<SessionId>,
    data: LiveData,
}

#[derive(Serialize)]
struct LiveData {
    /// Whom it is about, once more: for the floor, that it is nobody's is what is told.
    session_uuid: Option<SessionId>,
    conferencecall_id: Option<MemberId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    talking: Option<bool>,
}

/// What tells of something that is true for the moment; `at` is when it came to be.
pub fn live_event(app: &AppId, room: RoomId, fact: &LiveFact, at: Timestamp) -> LiveEvent {
    let (event, session, member, talking) = match *fact {
        LiveFact::Talking {
            session,
            member,
            talking,
        } => ("member.talking", Some(session), Some(member), Some(talking)),
        LiveFact::Floor { holder, member } => ("member.floor", holder, member, None),
    };
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
        // Strings, numbers and flags under fixed names.
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

fn room_data(fact: &RoomFact) -> (&'static str, Option<SessionId>, Data<'_>) {
    match fact {
        RoomFact::Created { name } => (
            "conference.created",
            None,
            Data {
                name: Some(name),
                ..Data::default()
            },
        ),
        RoomFact::Updated(update) => (
            "conference.updated",
            None,
            Data {
                update: Some(update),
                ..Data::default()
            },
        ),
        RoomFact::Locked { locked } => (
            "conference.updated",
            None,
            Data {
                locked: Some(*locked),
                ..Data::default()
            },
        ),
        RoomFact::Destroyed => ("conference.destroyed", None, Data::default()),
        RoomFact::RecordingStarted { recording } => {
            recording_data("conference.recording.started", *recording)
        }
        RoomFact::RecordingStopped { recording } => {
            recording_data("conference.recording.stopped", *recording)
        }
        RoomFact::RecordingFailed { recording } => {
            recording_data("conference.recording.failed", *recording)
        }
        RoomFact::MemberJoined {
            session,
            member,
            caller_id,
            did,
            muted,
        } => (
            "conference.member.joined",
            Some(*session),
            Data {
                caller_id: Some(caller_id),
                did: Some(did),
                muted: Some(*muted),
                conferencecall_id: Some(*member),
                ..Data::default()
            },
        ),
        RoomFact::MemberLeft {
            session,
            member: _,
            reason,
        } => (
            "conference.member.left",
            Some(*session),
            Data {
                reason: Some(reason.as_str()),
                ..Data::default()
            },
        ),
        RoomFact::JoinFailed {
            session,
            member: _,
            reason,
        } => (
            "conference.member.join_failed",
            Some(*session),
            Data {
                reason: Some(reason.as_str()),
                ..Data::default()
            },
        ),
        RoomFact::MemberMuted { session } => {
            ("conference.member.muted", Some(*session), Data::default())
        }
        RoomFact::MemberUnmuted { session } => {
            ("conference.member.unmuted", Some(*session), Data::default())
        }
        RoomFact::Play(fact) => {
            let (event, data) = play_data(fact);
            (event, None, data)
        }
    }
}

fn recording_data<'a>(
    event: &'static str,
    recording: RecordingId,
) -> (&'static str, Option<SessionId>, Data<'a>) {
    let data = Data {
        recording_id: Some(recording),
        ..Data::default()
    };
    (event, None, data)
}

fn play_data(fact: &PlayFact) -> (&'static str, Data<'_>) {
    let of = |operation: &OperationId| Data {
        operation_id: Some(operation.to_string()),
        ..Data::default()
    };
    match fact {
        PlayFact::Started { operation, urls } => (
            "conference.play.started",
            Data {
                urls: Some(urls),
                ..of(operation)
            },
        ),
        PlayFact::Finished { operation, errors } => (
            "conference.play.finished",
            Data {
                errors: Some(
                    errors
                        .iter()
                        .map(|(url, why): &(PlayUrl, Unplayed)| PlayError {
                            url,
                            error: why.as_str(),
                        })
                        .collect(),
                ),
                ..of(operation)
            },
        ),
        PlayFact::Paused { operation } => ("conference.play.paused", of(operation)),
        PlayFact::Resumed { operation } => ("conference.play.resumed", of(operation)),
        PlayFact::Stopped { operation } => ("conference.play.stopped", of(operation)),
        PlayFact::VolumeChanged { operation, volume } => (
            "conference.play.volume_changed",
            Data {
                volume: Some(*volume),
                operation_id: Some(operation.map_or_else(String::new, |op| op.to_string())),
                ..Data::default()
            },
        ),
    }
}

fn session_data(fact: &SessionFact) -> (&'static str, Data<'_>) {
    match fact {
        SessionFact::New {
            caller_id,
            did,
            direction,
        } => (
            "call.new",
            Data {
                caller_id: Some(caller_id),
                did: Some(did),
                direction: Some(direction.as_str()),
                ..Data::default()
            },
        ),
        SessionFact::Answered => ("call.answered", Data::default()),
        SessionFact::Hangup { cause, duration } => (
            "call.hangup",
            Data {
                cause: Some(cause),
                duration: Some(duration.as_secs()),
                ..Data::default()
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::room::{JoinFailure, LeftReason};
    use crate::session::Direction;

    const CALL: &str = "acW68-550e8400-e29b-41d4-a716-446655440000";
    const ROOM: &str = "acW68-room-7c9e6679-7425-40de-944b-e07fc1f90ae7";
    const MEMBER: &str = "f47ac10b-58cc-8372-a567-0e02b2c3d479";

    fn at() -> Timestamp {
        Timestamp::from_micros(1_778_070_896_672_025)
    }

    fn of_room(fact: RoomFact, command_uid: Option<&str>, synthesized: bool) -> Message {
        let notice = RoomNotice {
            sequence: 7,
            fact,
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

    fn of_call(fact: SessionFact, synthesized: bool) -> Message {
        let notice = SessionNotice {
            sequence: 3,
            fact,
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
        assert!(EVENTS.contains(&event), "{event} is not in the list");
    }

    #[test]
    fn events_of_a_room() {
        let ids = format!(r#""room_id":"{ROOM}""#);
        check(
            of_room(
                RoomFact::Created {
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
            of_room(RoomFact::Destroyed, None, false),
            "conference.destroyed",
            &ids,
            "{}",
        );
    }

    #[test]
    fn events_of_a_member() {
        let session: SessionId = CALL.parse().unwrap();
        let member: MemberId = MEMBER.parse().unwrap();
        let ids = format!(r#""room_id":"{ROOM}","session_uuid":"{CALL}""#);
        let joined = |muted| RoomFact::MemberJoined {
            session,
            member,
            caller_id: "+15551234".into(),
            did: "747713001".into(),
            muted,
        };
        check(
            of_room(joined(true), Some("join-1"), false),
            "conference.member.joined",
            &ids,
            &format!(
                r#"{{"caller_id":"+15551234","did":"747713001","muted":true,"conferencecall_id":"{MEMBER}","command_uid":"join-1"}}"#
            ),
        );
        check(
            of_room(joined(false), None, true),
            "conference.member.joined",
            &ids,
            &format!(
                r#"{{"caller_id":"+15551234","did":"747713001","muted":false,"conferencecall_id":"{MEMBER}","synthesized":true}}"#
            ),
        );
        for reason in [
            LeftReason::Hangup,
            LeftReason::Removed,
            LeftReason::Moved,
            LeftReason::RoomDestroyed,
            LeftReason::Timeout,
            LeftReason::Orphan,
        ] {
            let fact = RoomFact::MemberLeft {
                session,
                member,
                reason,
            };
            check(
                of_room(fact, Some("leave-1"), false),
                "conference.member.left",
                &ids,
                &format!(r#"{{"reason":"{reason}","command_uid":"leave-1"}}"#),
            );
        }
        let failed = RoomFact::JoinFailed {
            session,
            member,
            reason: JoinFailure::Refused,
        };
        check(
            of_room(failed, None, false),
            "conference.member.join_failed",
            &ids,
            r#"{"reason":"refused"}"#,
        );
        check(
            of_room(RoomFact::MemberMuted { session }, Some("m.1"), false),
            "conference.member.muted",
            &ids,
            r#"{"command_uid":"m.1"}"#,
        );
        check(
            of_room(RoomFact::MemberUnmuted { session }, None, true),
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
            check(of_room(RoomFact::Play(fact), uid, false), event, &ids, data);
        };
        tells(
            PlayFact::Started {
                operation,
                urls: vec![url.clone()],
            },
            Some("p-1"),
            "conference.play.started",
            &format!(
                r#"{{"urls":["https://cdn.example.com/a%20b.wav"],{op},"command_uid":"p-1"}}"#
            ),
        );
        tells(
            PlayFact::Finished {
                operation,
                errors: Vec::new(),
            },
            None,
            "conference.play.finished",
            &format!(r#"{{"errors":[],{op}}}"#),
        );
        tells(
            PlayFact::Finished {
                operation,
                errors: vec![(url, Unplayed::Refused)],
            },
            None,
            "conference.play.finished",
            &format!(
                r#"{{"errors":[{{"url":"https://cdn.example.com/a%20b.wav","error":"the file could not be played"}}],{op}}}"#
            ),
        );
        for (fact, event) in [
            (PlayFact::Paused { operation }, "conference.play.paused"),
            (PlayFact::Resumed { operation }, "conference.play.resumed"),
            (PlayFact::Stopped { operation }, "conference.play.stopped"),
        ] {
            tells(fact, None, event, &format!("{{{op}}}"));
        }
        for (operation, id) in [(Some(operation), MEMBER), (None, "")] {
            let fact = PlayFact::VolumeChanged {
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
        let new = |direction| SessionFact::New {
            caller_id: "anonymous".into(),
            did: "747713001".into(),
            direction,
        };
        check(
            of_call(new(Direction::Inbound), false),
            "call.new",
            &ids,
            r#"{"caller_id":"anonymous","did":"747713001","direction":"inbound"}"#,
        );
        check(
            of_call(new(Direction::Outbound), true),
            "call.new",
            &ids,
            r#"{"caller_id":"anonymous","did":"747713001","direction":"outbound","synthesized":true}"#,
        );
        check(
            of_call(SessionFact::Answered, false),
            "call.answered",
            &ids,
            "{}",
        );
        let hangup = SessionFact::Hangup {
            cause: "NORMAL_CLEARING".into(),
            duration: Duration::from_millis(61_900),
        };
        check(
            of_call(hangup, false),
            "call.hangup",
            &ids,
            r#"{"cause":"NORMAL_CLEARING","duration":61}"#,
        );
    }
}
