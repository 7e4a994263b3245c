from typing import Literal

ConferenceCreatedEventEvent = Literal["conference.created"]

CONFERENCE_CREATED_EVENT_EVENT_VALUES: set[ConferenceCreatedEventEvent] = {
    "conference.created",
}


def check_conference_created_event_event(value: str) -> ConferenceCreatedEventEvent:
    if value in CONFERENCE_CREATED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CREATED_EVENT_EVENT_VALUES!r}"
    )
