from typing import Literal

ConferencePlayFinishedEventEvent = Literal["conference.play.finished"]

CONFERENCE_PLAY_FINISHED_EVENT_EVENT_VALUES: set[ConferencePlayFinishedEventEvent] = {
    "conference.play.finished",
}


def check_conference_play_finished_event_event(
    value: str,
) -> ConferencePlayFinishedEventEvent:
    if value in CONFERENCE_PLAY_FINISHED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_PLAY_FINISHED_EVENT_EVENT_VALUES!r}"
    )
