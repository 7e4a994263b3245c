from typing import Literal

ConferencePlayStoppedEventEvent = Literal["conference.play.stopped"]

CONFERENCE_PLAY_STOPPED_EVENT_EVENT_VALUES: set[ConferencePlayStoppedEventEvent] = {
    "conference.play.stopped",
}


def check_conference_play_stopped_event_event(
    value: str,
) -> ConferencePlayStoppedEventEvent:
    if value in CONFERENCE_PLAY_STOPPED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_PLAY_STOPPED_EVENT_EVENT_VALUES!r}"
    )
