from typing import Literal

ConferenceCallBusyEventEvent = Literal["conference.call.busy"]

CONFERENCE_CALL_BUSY_EVENT_EVENT_VALUES: set[ConferenceCallBusyEventEvent] = {
    "conference.call.busy",
}


def check_conference_call_busy_event_event(value: str) -> ConferenceCallBusyEventEvent:
    if value in CONFERENCE_CALL_BUSY_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CALL_BUSY_EVENT_EVENT_VALUES!r}"
    )
