from typing import Literal

ConferencePlayPausedEventEvent = Literal["conference.play.paused"]

CONFERENCE_PLAY_PAUSED_EVENT_EVENT_VALUES: set[ConferencePlayPausedEventEvent] = {
    "conference.play.paused",
}


def check_conference_play_paused_event_event(
    value: str,
) -> ConferencePlayPausedEventEvent:
    if value in CONFERENCE_PLAY_PAUSED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_PLAY_PAUSED_EVENT_EVENT_VALUES!r}"
    )
