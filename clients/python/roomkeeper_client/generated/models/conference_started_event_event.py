from typing import Literal

ConferenceStartedEventEvent = Literal["conference.started"]

CONFERENCE_STARTED_EVENT_EVENT_VALUES: set[ConferenceStartedEventEvent] = {
    "conference.started",
}


def check_conference_started_event_event(value: str) -> ConferenceStartedEventEvent:
    if value in CONFERENCE_STARTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_STARTED_EVENT_EVENT_VALUES!r}"
    )
