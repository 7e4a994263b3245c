//! The events in the document, compared with the bodies that are sent.

use std::collections::BTreeSet;
use std::time::Duration;

use roomkeeper::store::endpoints::DisabledWhy;
use roomkeeper::webhook::payload::{
    EndpointEvent, endpoint_message, event_names, live_event, room_message, session_message,
};
use roomkeeper_core::call::{
    CallEvent, CallNotification, Direction, TransferChange, TransferEnd, TransferEvent,
};
use roomkeeper_core::dial::TransferTarget;
use roomkeeper_core::gather::{Digits, GatherEnd, GatherResult, PressedDigit};
use roomkeeper_core::ids::{CallId, MemberId, OperationId, RecordingId, RoomId};
use roomkeeper_core::labels::Labels;
use roomkeeper_core::pin::RoomPin;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{
    CoachChange, CoachEnd, DialChange, DialEvent, DialOutcome, EndReason, JoinFailure, LeftReason,
    LiveChange, MemberFlag, MemberPlayEvent, MemberSettings, MemberUpdate, PlayEvent, PlayFailure,
    RecordingChange, RecordingFailure, RoomEvent, RoomNotification, RoomSettingsUpdate, Sparse,
    Tones, Update,
};
use roomkeeper_core::room::{Media, Spoken};
use roomkeeper_core::speech::{Speech, VoiceName};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{api, schema};
use crate::world::*;

const LEFT: [LeftReason; 7] = [
    LeftReason::Silence,
    LeftReason::Hangup,
    LeftReason::Removed,
    LeftReason::Moved,
    LeftReason::RoomDestroyed,
    LeftReason::Timeout,
    LeftReason::Orphan,
];
const NOT_JOINED: [JoinFailure; 9] = [
    JoinFailure::Timeout,
    JoinFailure::Refused,
    JoinFailure::Hangup,
    JoinFailure::RoomDestroyed,
    JoinFailure::Moved,
    JoinFailure::Orphan,
    JoinFailure::Removed,
    JoinFailure::ActionFailed,
    JoinFailure::Pin,
];

const PRESSED: PressedDigit = PressedDigit {
    digit: '#',
    duration_ms: 250,
};

const GATHERED: [GatherEnd; 6] = [
    GatherEnd::Matched,
    GatherEnd::Timeout,
    GatherEnd::NoInput,
    GatherEnd::Hangup,
    GatherEnd::Stopped,
    GatherEnd::Failed,
];

fn gathered(reason: GatherEnd) -> Box<GatherResult> {
    Box::new(GatherResult {
        operation: "a1b2c3d4-e5f6-7890-abcd-ef1234567890".parse().unwrap(),
        command_uid: None,
        digits: Digits::from_reported("12#"),
        reason,
        failed_prompt: (reason == GatherEnd::Failed)
            .then(|| PlayUrl::new("https://cdn.example.com/pin.wav").unwrap()),
        synthesized: false,
    })
}

fn room() -> RoomId {
    room_id("acW68", 1)
}

fn call() -> CallId {
    session_id("acW68", 2)
}

fn member() -> MemberId {
    membership_id()
}

fn play_events() -> Vec<PlayEvent> {
    let operation: OperationId = "a1b2c3d4-e5f6-7890-abcd-ef1234567890".parse().unwrap();
    let url = PlayUrl::new("https://cdn.example.com/a.wav").unwrap();
    let said = Media::Speech(Spoken {
        text: Speech::new("Hello").unwrap(),
        voice: VoiceName::new("slt").ok(),
    });
    vec![
        PlayEvent::Started {
            operation,
            media: vec![url.clone().into()],
        },
        PlayEvent::Started {
            operation,
            media: vec![said.clone()],
        },
        PlayEvent::Finished {
            operation,
            errors: vec![
                (url.into(), PlayFailure::Refused),
                (said, PlayFailure::Refused),
            ],
        },
        PlayEvent::Paused { operation },
        PlayEvent::Resumed { operation },
        PlayEvent::Stopped { operation },
        PlayEvent::VolumeChanged {
            operation: Some(operation),
            volume: 7,
        },
        PlayEvent::VolumeChanged {
            operation: None,
            volume: -50,
        },
    ]
}

fn coach_events() -> Vec<RoomEvent> {
    let event = |change| RoomEvent::Coach {
        call: call(),
        coach: call(),
        change,
    };
    let reasons = [
        CoachEnd::Requested,
        CoachEnd::MemberLeft,
        CoachEnd::Hangup,
        CoachEnd::Removed,
        CoachEnd::Timeout,
        CoachEnd::Refused,
        CoachEnd::Orphan,
    ];
    let mut all = vec![event(CoachChange::Began)];
    for reason in reasons {
        all.push(event(CoachChange::Failed(reason)));
        all.push(event(CoachChange::Ended(reason)));
    }
    all
}

fn other_room() -> RoomId {
    RoomId::new(node_id("acW68"), Uuid::from_u128(8))
}

fn recording_events() -> Vec<RoomEvent> {
    let recording = RecordingId::generate(node_id("acW68"), Uuid::from_u128(5));
    let changes = [
        RecordingChange::Started,
        RecordingChange::Stopped,
        RecordingChange::Paused,
        RecordingChange::Resumed,
        RecordingChange::Failed(None),
        RecordingChange::Failed(Some(RecordingFailure::Announcement)),
    ];
    let event = |call, change| RoomEvent::Recording {
        call,
        recording,
        change,
    };
    let of_room = changes.map(|change| event(None, change));
    let of_member = changes.map(|change| event(Some(call()), change));
    [of_room, of_member].concat()
}

fn labels() -> Labels {
    serde_json::from_value(json!({ "team": "sales" })).unwrap()
}

fn tones() -> Tones {
    serde_json::from_value(json!({ "enter": "http://h/a", "exit": "http://h/b" })).unwrap()
}

fn room_events() -> Vec<RoomEvent> {
    let (call, member) = (call(), member());
    let mut all = vec![
        RoomEvent::Created {
            name: "standup".to_owned(),
        },
        RoomEvent::Updated(Box::new(Update {
            name: Some("another".to_owned()),
            detail: Some("detail".to_owned()),
            data: json!({"a": 1}).as_object().cloned(),
            timeout: Some(60),
            pre_actions: Some(Vec::new()),
            post_actions: Some(Vec::new()),
            settings: RoomSettingsUpdate {
                labels: Some(labels()),
                max_members: Some(2),
                tones: Some(tones()),
                alone_url: Some(None),
                end_when_silent_for: Some(60),
                pin: Some(RoomPin::default()),
                pin_prompt_url: Some(None),
                pin_prompt_text: Some(Some(Speech::new("the PIN").unwrap())),
                pin_tries: Some(3),
                wait_for_moderator: Some(true),
                wait_url: Some(None),
                announce_recording: Some(None),
                announce_count: Some(None),
            },
        })),
        RoomEvent::Locked { locked: true },
        RoomEvent::Started { by: None },
        RoomEvent::Started { by: Some(call) },
        RoomEvent::Destroyed { reason: None },
        RoomEvent::Destroyed {
            reason: Some(EndReason::MemberLeft),
        },
        dial(DialChange::Ringing),
        dial(DialChange::Answered),
        dial(ended(DialOutcome::Busy)),
        dial(ended(DialOutcome::NoAnswer)),
        dial(ended(DialOutcome::Failed)),
        dial(ended(DialOutcome::Cancelled)),
        RoomEvent::MoveFailed {
            call,
            to: other_room(),
            reason: JoinFailure::Refused,
        },
        RoomEvent::MemberJoined {
            call,
            member,
            caller_id: "+15551234".to_owned(),
            did: "747713001".to_owned(),
            muted: true,
            from: Some(other_room()),
            settings: Sparse::new(MemberSettings {
                labels: labels(),
                ..MemberSettings::default()
            }),
        },
        RoomEvent::MemberUpdated {
            call,
            update: Box::new(MemberUpdate {
                labels: Some(labels()),
                ..MemberUpdate::default()
            }),
        },
    ];
    all.extend(LEFT.map(|reason| RoomEvent::MemberLeft {
        call,
        member,
        reason,
        to: (reason == LeftReason::Moved).then(other_room),
    }));
    all.push(RoomEvent::MemberReconnected { call, member });
    all.extend(NOT_JOINED.map(|reason| RoomEvent::JoinFailed {
        call,
        member,
        reason,
    }));
    for flag in [MemberFlag::Speak, MemberFlag::Hear] {
        all.extend([true, false].map(|on| RoomEvent::FlagChanged { call, flag, on }));
    }
    all.extend([true, false].map(|talking| RoomEvent::Talking { call, talking }));
    all.push(RoomEvent::TalkingMuted { call });
    all.push(RoomEvent::Digit {
        call,
        pressed: PRESSED,
    });
    all.extend(GATHERED.map(|reason| {
        let result = gathered(reason);
        RoomEvent::Gathered { call, result }
    }));
    let music = PlayUrl::new("http://example.com/music.wav").unwrap();
    for (on, music) in [(true, Some(music)), (true, None), (false, None)] {
        all.push(RoomEvent::HoldChanged { call, on, music });
    }
    let to_member = play_events()
        .into_iter()
        .filter_map(MemberPlayEvent::from_event);
    all.extend(to_member.map(|event| RoomEvent::MemberPlay { call, event }));
    all.extend(play_events().into_iter().map(RoomEvent::Play));
    all.extend(recording_events());
    all.extend(coach_events());
    all
}

/// The events of transfers.
fn transfer_events() -> Vec<CallEvent> {
    let event = |to: &TransferTarget, change| {
        CallEvent::Transfer(TransferEvent {
            to: to.clone(),
            change,
            command_uid: Some("t-1".parse().unwrap()),
        })
    };
    let (extension, context) = ("1000".parse().unwrap(), "desk".parse().unwrap());
    let sides = [
        TransferTarget::Destination("+4930".parse().unwrap()),
        TransferTarget::Extension(extension, context),
    ];
    let mut all = Vec::new();
    for to in &sides {
        all.push(event(to, TransferChange::Answered));
        for reason in [
            TransferEnd::Busy,
            TransferEnd::NoAnswer,
            TransferEnd::Failed,
            TransferEnd::Cancelled,
            TransferEnd::Removed,
        ] {
            let (cause, sip_status) = ("USER_BUSY".to_owned(), Some(486));
            let change = TransferChange::Failed {
                reason,
                cause,
                sip_status,
            };
            all.push(event(to, change));
        }
        for reason in [
            TransferEnd::Hangup,
            TransferEnd::Cancelled,
            TransferEnd::Removed,
        ] {
            let cause = Some("NORMAL_CLEARING".to_owned());
            all.push(event(to, TransferChange::Ended { reason, cause }));
        }
    }
    all
}

fn call_events() -> Vec<CallEvent> {
    let new = |direction| CallEvent::New {
        caller_id: "anonymous".to_owned(),
        did: "747713001".to_owned(),
        direction,
    };
    [
        new(Direction::Inbound),
        new(Direction::Outbound),
        CallEvent::Answered,
        CallEvent::Digit(PRESSED),
        CallEvent::Gathered(gathered(GatherEnd::Failed)),
    ]
    .into_iter()
    .chain(transfer_events())
    .chain([CallEvent::Hangup {
        cause: "NORMAL_CLEARING".into(),
        duration: Duration::from_secs(61),
    }])
    .collect()
}

/// The bodies of all events, with and without the fields that any of them can have.
fn bodies() -> Vec<Value> {
    let (id, app) = (Uuid::from_u128(6), "demo".parse().unwrap());
    let at = Timestamp::from_micros(1_778_070_896_672_025);
    let mut all = Vec::new();
    for event in room_events() {
        for is_minimal in [true, false] {
            let notice = RoomNotification {
                sequence: 7,
                event: event.clone(),
                command_uid: (!is_minimal).then(|| "join-1".parse().unwrap()),
                synthesized: !is_minimal,
            };
            all.push(room_message(id, &app, room(), &notice, at).body);
        }
    }
    for event in call_events() {
        for synthesized in [true, false] {
            let notice = CallNotification {
                sequence: 1,
                event: event.clone(),
                synthesized,
            };
            all.push(session_message(id, &app, call(), &notice, at).body);
        }
    }
    let endpoint = "ep_a".parse().unwrap();
    let url = "https://example.com/hook".parse().unwrap();
    for event in [
        EndpointEvent::Disabled {
            why: DisabledWhy::Gone,
        },
        EndpointEvent::Disabled {
            why: DisabledWhy::Failing,
        },
        EndpointEvent::Test,
    ] {
        all.push(endpoint_message(id, &app, &endpoint, &url, event, at).body);
    }
    for change in [
        LiveChange::Talking {
            call: call(),
            member: member(),
            talking: true,
        },
        LiveChange::Floor {
            holder: Some(call()),
            member: Some(member()),
        },
        LiveChange::Floor {
            holder: None,
            member: None,
        },
    ] {
        all.push(live_event(&app, room(), &change, at).body);
    }
    all.iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect()
}

fn dial(change: DialChange) -> RoomEvent {
    RoomEvent::Dial(DialEvent {
        id: call(),
        session: call(),
        to: "+49301".to_owned(),
        attempt: 1,
        attempts: 2,
        change,
    })
}

fn ended(outcome: DialOutcome) -> DialChange {
    DialChange::Ended {
        outcome,
        cause: "USER_BUSY".to_owned(),
        sip_status: Some(486),
        retry_at: Some(Timestamp::from_millis(5)),
    }
}

fn schema_of(event: &str) -> String {
    let words = event.split(['.', '_']).map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.chain(["Event".to_owned()]).collect()
}

/// The names of the documented fields of a schema, and those below `data`.
fn fields(api: &Value, name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let parts = &api["components"]["schemas"][name]["allOf"];
    let own = &parts[1];
    let top = keys(api, &parts[0]).into_iter().chain(keys(api, own));
    (top.collect(), keys(api, &own["properties"]["data"]))
}

/// The properties of a schema and of its parts: settings are a schema of their own.
fn keys(api: &Value, schema: &Value) -> BTreeSet<String> {
    let named = schema["$ref"]
        .as_str()
        .and_then(|name| name.rsplit('/').next());
    let schema = named.map_or(schema, |name| &api["components"]["schemas"][name]);
    let properties = schema["properties"].as_object().into_iter().flatten();
    let parts = schema["allOf"].as_array().into_iter().flatten();
    properties
        .map(|(name, _)| name.clone())
        .chain(parts.flat_map(|part| keys(api, part)))
        .collect()
}

#[test]
fn every_event_has_its_webhook() {
    let api = api();
    let documented: BTreeSet<&str> = api["webhooks"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(documented, event_names().collect());
    for (event, item) in api["webhooks"].as_object().unwrap() {
        let operation = &item["post"];
        assert!(operation["summary"].is_string(), "{event}");
        assert_eq!(operation["parameters"].as_array().unwrap().len(), 3);
        let body = &operation["requestBody"]["content"]["application/json"];
        let reference = format!("#/components/schemas/{}", schema_of(event));
        assert_eq!(body["schema"]["$ref"], reference);
    }
}

#[test]
fn real_bodies_of_events_fit_their_schemas() {
    let api = api();
    let mut seen = BTreeSet::new();
    for body in bodies() {
        let event = body["event"].as_str().unwrap();
        let name = schema_of(event);
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        let validator = schema(&api, &reference);
        let errors: Vec<_> = validator
            .iter_errors(&body)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {body}");
        let (top, data) = fields(&api, &name);
        let sent = |body: &Value| -> BTreeSet<String> {
            body.as_object().unwrap().keys().cloned().collect()
        };
        let unknown: Vec<_> = sent(&body).difference(&top).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {body}");
        let unknown: Vec<_> = sent(&body["data"]).difference(&data).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {body}");
        // The schema is that of this event alone.
        let mut other = body.clone();
        other["event"] = "conference.other".into();
        assert!(!validator.is_valid(&other), "{name}");
        let mut empty = body.clone();
        empty["data"] = json!("nothing");
        assert!(!validator.is_valid(&empty), "{name}");
        seen.insert(event.to_owned());
    }
    let live = LiveChange::NAMES.iter().copied();
    let all: BTreeSet<String> = event_names().chain(live).map(str::to_owned).collect();
    assert_eq!(seen, all);
}
