from typing import Literal

ConferenceUpdatedEventEvent = Literal["conference.updated"]

CONFERENCE_UPDATED_EVENT_EVENT_VALUES: set[ConferenceUpdatedEventEvent] = {
    "conference.updated",
}


def check_conference_updated_event_event(value: str) -> ConferenceUpdatedEventEvent:
    if value in CONFERENCE_UPDATED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_UPDATED_EVENT_EVENT_VALUES!r}"
    )
