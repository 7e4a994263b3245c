from typing import Literal

ConferenceCallAnsweredEventEvent = Literal["conference.call.answered"]

CONFERENCE_CALL_ANSWERED_EVENT_EVENT_VALUES: set[ConferenceCallAnsweredEventEvent] = {
    "conference.call.answered",
}


def check_conference_call_answered_event_event(
    value: str,
) -> ConferenceCallAnsweredEventEvent:
    if value in CONFERENCE_CALL_ANSWERED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CALL_ANSWERED_EVENT_EVENT_VALUES!r}"
    )
