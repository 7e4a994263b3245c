from typing import Literal

ConferenceDestroyedEventEvent = Literal["conference.destroyed"]

CONFERENCE_DESTROYED_EVENT_EVENT_VALUES: set[ConferenceDestroyedEventEvent] = {
    "conference.destroyed",
}


def check_conference_destroyed_event_event(value: str) -> ConferenceDestroyedEventEvent:
    if value in CONFERENCE_DESTROYED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_DESTROYED_EVENT_EVENT_VALUES!r}"
    )
