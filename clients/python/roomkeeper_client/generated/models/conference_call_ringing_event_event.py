from typing import Literal

ConferenceCallRingingEventEvent = Literal["conference.call.ringing"]

CONFERENCE_CALL_RINGING_EVENT_EVENT_VALUES: set[ConferenceCallRingingEventEvent] = {
    "conference.call.ringing",
}


def check_conference_call_ringing_event_event(
    value: str,
) -> ConferenceCallRingingEventEvent:
    if value in CONFERENCE_CALL_RINGING_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CALL_RINGING_EVENT_EVENT_VALUES!r}"
    )
