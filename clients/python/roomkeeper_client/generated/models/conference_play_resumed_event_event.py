from typing import Literal

ConferencePlayResumedEventEvent = Literal["conference.play.resumed"]

CONFERENCE_PLAY_RESUMED_EVENT_EVENT_VALUES: set[ConferencePlayResumedEventEvent] = {
    "conference.play.resumed",
}


def check_conference_play_resumed_event_event(
    value: str,
) -> ConferencePlayResumedEventEvent:
    if value in CONFERENCE_PLAY_RESUMED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_PLAY_RESUMED_EVENT_EVENT_VALUES!r}"
    )
