//! The events of webhooks and of the event stream in the document: a schema for the body of each, and the section
//! `webhooks`.
//!
//! The list of events is that of the payloads ([`event_names`]), so a new event is in the document at once. Its
//! summary and the schema of its `data` are in [`describe`]; a test fails while they are missing there.

use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::AllOfBuilder;
use utoipa::openapi::{
    Components, Content, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder,
    SecurityRequirement, Type,
};
use utoipa::{OpenApi as _, ToSchema};

use crate::webhook::payload::event_names;
use roomkeeper_core::room::LiveChange;

use super::event_data::{self as data, EventSchemas};
use super::shared::pascal_case;

/// The tag of the section.
pub(super) const TAG: &str = "webhook events";

/// The events of the stream alone.
const STREAM_EVENTS: [&str; 2] = ["stream.open", "stream.gap"];

/// The name of the schema of an event's body.
fn schema_name(event: &str) -> String {
    format!("{}Event", pascal_case(event))
}

/// The summary of an event, and the name of the schema of its `data`.
fn describe(event: &str) -> Option<(&'static str, String)> {
    macro_rules! described {
        ($($name:literal: $summary:literal, $data:ident;)+) => {
            match event {
                $($name => ($summary, data::$data::name().into_owned()),)+
                _ => return None,
            }
        };
    }
    Some(described! {
        "conference.created": "A conference was created", RoomCreated;
        "conference.updated": "A conference's details, settings or lock changed", RoomUpdated;
        "conference.started": "The members of a conference no longer wait for a moderator", RoomStarted;
        "conference.destroyed": "A conference ended", RoomDestroyed;
        "conference.member.joined": "A member joined", MemberJoined;
        "conference.member.updated": "Settings of a member changed", MemberUpdated;
        "conference.member.left": "A member left", MemberLeft;
        "conference.member.reconnected": "A member is in its conference again after a restart of FreeSWITCH", MemberReconnected;
        "conference.member.move_failed": "A member did not get into another conference, and stays or joins again", MemberMoveFailed;
        "conference.member.muted": "A member was muted", MemberFlagChanged;
        "conference.member.unmuted": "A member was unmuted", MemberFlagChanged;
        "conference.member.deafened": "A member was deafened", MemberFlagChanged;
        "conference.member.undeafened": "A member was undeafened", MemberFlagChanged;
        "conference.member.dtmf": "A member sent a digit", DigitReceived;
        "conference.member.talking": "A member began or stopped talking", MemberTalks;
        "conference.member.talking_muted": "A member talks although it is muted", MemberTalksMuted;
        "conference.member.gathered": "A request for digits of a member ended", DigitsGathered;
        "conference.member.held": "A member was put on hold", MemberHeld;
        "conference.member.unheld": "A member is no longer on hold", MemberFlagChanged;
        "conference.member.join_failed": "A call did not join", MemberJoinFailed;
        "conference.member.coached": "A member got a coach", MemberCoached;
        "conference.member.uncoached": "A member has no coach any longer", MemberCoachEnded;
        "conference.member.coach_failed": "A member did not get a coach", MemberCoachEnded;
        "conference.member.play.started": "A playback operation for one member was accepted", PlaybackStarted;
        "conference.member.play.finished": "The last file of a playback operation for one member ended", PlaybackFinished;
        "conference.member.play.stopped": "A playback operation for one member was stopped", PlaybackChanged;
        "conference.play.started": "A playback operation was accepted", PlaybackStarted;
        "conference.play.finished": "The last file of a playback operation ended", PlaybackFinished;
        "conference.play.paused": "Playback was paused", PlaybackChanged;
        "conference.play.resumed": "Playback was resumed", PlaybackChanged;
        "conference.play.stopped": "A playback operation was stopped", PlaybackChanged;
        "conference.play.volume_changed": "The playback volume changed", PlaybackVolumeChanged;
        "conference.recording.started": "A recording started", RecordingChanged;
        "conference.recording.stopped": "A recording ended, and its file exists", RecordingChanged;
        "conference.recording.paused": "A recording was paused", RecordingChanged;
        "conference.recording.resumed": "A recording was resumed", RecordingChanged;
        "conference.recording.failed": "A recording did not start", RecordingFailed;
        "conference.member.recording.started": "The recording of a member started", RecordingChanged;
        "conference.member.recording.stopped": "The recording of a member ended, and its file exists", RecordingChanged;
        "conference.member.recording.paused": "The recording of a member was paused", RecordingChanged;
        "conference.member.recording.resumed": "The recording of a member was resumed", RecordingChanged;
        "conference.member.recording.failed": "The recording of a member did not start", RecordingFailed;
        "conference.call.ringing": "The telephone of a dialled callee rings", DialProgressed;
        "conference.call.answered": "A dialled callee answered, and joins", DialProgressed;
        "conference.call.busy": "A dialled callee is busy", DialEnded;
        "conference.call.no_answer": "A dialled callee did not answer", DialEnded;
        "conference.call.failed": "A call could not be made", DialEnded;
        "conference.call.cancelled": "A dial-out was cancelled", DialEnded;
        "call.new": "A call arrived", CallArrived;
        "call.answered": "A call was answered", CallAnswered;
        "call.dtmf": "A call sent a digit outside of a conference", DigitReceived;
        "call.gathered": "A request for digits of a call ended", DigitsGathered;
        "call.transferred": "The other side of a transfer answered", Transferred;
        "call.transfer_failed": "The other side of a transfer did not answer; the call is parked", TransferFailed;
        "call.transfer_ended": "A transfer ended; the call is parked", TransferEnded;
        "call.hangup": "A call ended", CallEnded;
        "webhook.disabled": "Another webhook endpoint of the app was disabled", WebhookDisabled;
        "webhook.test": "The owner of the endpoint requested a test", WebhookTested;
        "member.talking": "A member began or stopped talking", MemberTalking;
        "member.floor": "The floor changed hands", MemberFloor;
        "stream.open": "The stream begins", StreamOpened;
        "stream.gap": "Events are missing: read the state again", StreamInterrupted;
    })
}

/// The schema of the fields around `data`.
fn envelope(event: &str) -> String {
    let is = |prefix: &str| event.starts_with(prefix);
    let name = if is("conference.member.") || is("conference.call.") {
        data::MemberEnvelope::name()
    } else if is("conference.") {
        data::RoomEnvelope::name()
    } else if is("call.") {
        data::CallEnvelope::name()
    } else if is("member.") {
        data::LiveEnvelope::name()
    } else if is("stream.") {
        data::StreamEnvelope::name()
    } else {
        data::AppEnvelope::name()
    };
    name.into_owned()
}

/// Adds the schemas of all events, and the section `webhooks`.
pub(super) fn add_events(api: &mut OpenApi) {
    api.merge(EventSchemas::openapi());
    let components = api.components.get_or_insert_default();
    let live = LiveChange::NAMES.iter().copied();
    for event in event_names().chain(live).chain(STREAM_EVENTS) {
        let schema = body_schema(event);
        components.schemas.insert(schema_name(event), schema);
    }
    add_headers(components);
    let answer = ResponseBuilder::new().description("The receiver accepted the event.");
    let responses = &mut components.responses;
    responses.insert("Received".to_owned(), RefOr::T(answer.build()));
    let section = event_names().fold(PathsBuilder::new(), |section, event| {
        section.path(event, PathItem::new(HttpMethod::Post, operation(event)))
    });
    api.webhooks = Some(section.build());
}

fn body_schema(event: &str) -> RefOr<utoipa::openapi::Schema> {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some([event]));
    let data: RefOr<utoipa::openapi::Schema> = match describe(event) {
        Some((_, data)) => Ref::from_schema_name(data).into(),
        None => ObjectBuilder::new().schema_type(Type::Object).into(),
    };
    let own = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("event", name)
        .property("data", data)
        .required("event")
        .required("data");
    AllOfBuilder::new()
        .item(Ref::from_schema_name(envelope(event)))
        .item(own)
        .into()
}

const HEADERS: [(&str, &str); 3] = [
    (
        "webhook-id",
        "The same for every attempt: handle each id once.",
    ),
    (
        "webhook-timestamp",
        "The time of the attempt in Unix seconds: refuse requests older than five minutes.",
    ),
    (
        "webhook-signature",
        "`v1,` and an HMAC-SHA256 in base64 over id, timestamp and body, joined by dots; two of them, separated by a \
         space, while the secret is replaced.",
    ),
];

fn add_headers(components: &mut Components) {
    for (name, description) in HEADERS {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        let parameters = &mut components.parameters;
        parameters.insert(pascal_case(name), RefOr::T(parameter));
    }
}

fn operation(event: &str) -> OperationBuilder {
    let schema = Ref::from_schema_name(schema_name(event));
    let body = RequestBodyBuilder::new()
        .content("application/json", Content::new(Some(schema)))
        .required(Some(Required::True));
    let headers =
        HEADERS.map(|(name, _)| Ref::new(format!("#/components/parameters/{}", pascal_case(name))));
    let operation = OperationBuilder::new()
        .tag(TAG)
        .operation_id(Some(format!("on{}", pascal_case(event))))
        .summary(describe(event).map(|(summary, _)| summary))
        .request_body(Some(body.build()))
        .response("2XX", Ref::from_response_name("Received"))
        .securities(Some([SecurityRequirement::default()]));
    headers
        .into_iter()
        .fold(operation, OperationBuilder::parameter_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_described() {
        let live = LiveChange::NAMES.iter().copied();
        for event in event_names().chain(live).chain(STREAM_EVENTS) {
            assert!(describe(event).is_some(), "{event} has no schema");
        }
    }
}
