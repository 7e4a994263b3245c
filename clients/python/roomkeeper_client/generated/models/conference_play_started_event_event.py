from typing import Literal

ConferencePlayStartedEventEvent = Literal["conference.play.started"]

CONFERENCE_PLAY_STARTED_EVENT_EVENT_VALUES: set[ConferencePlayStartedEventEvent] = {
    "conference.play.started",
}


def check_conference_play_started_event_event(
    value: str,
) -> ConferencePlayStartedEventEvent:
    if value in CONFERENCE_PLAY_STARTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_PLAY_STARTED_EVENT_EVENT_VALUES!r}"
    )
