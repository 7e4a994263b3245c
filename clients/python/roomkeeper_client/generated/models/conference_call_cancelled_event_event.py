from typing import Literal

ConferenceCallCancelledEventEvent = Literal["conference.call.cancelled"]

CONFERENCE_CALL_CANCELLED_EVENT_EVENT_VALUES: set[ConferenceCallCancelledEventEvent] = {
    "conference.call.cancelled",
}


def check_conference_call_cancelled_event_event(
    value: str,
) -> ConferenceCallCancelledEventEvent:
    if value in CONFERENCE_CALL_CANCELLED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CALL_CANCELLED_EVENT_EVENT_VALUES!r}"
    )
