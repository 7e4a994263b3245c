from typing import Literal

ConferenceCallFailedEventEvent = Literal["conference.call.failed"]

CONFERENCE_CALL_FAILED_EVENT_EVENT_VALUES: set[ConferenceCallFailedEventEvent] = {
    "conference.call.failed",
}


def check_conference_call_failed_event_event(
    value: str,
) -> ConferenceCallFailedEventEvent:
    if value in CONFERENCE_CALL_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CALL_FAILED_EVENT_EVENT_VALUES!r}"
    )
