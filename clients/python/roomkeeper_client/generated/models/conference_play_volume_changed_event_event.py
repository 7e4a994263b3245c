from typing import Literal

ConferencePlayVolumeChangedEventEvent = Literal["conference.play.volume_changed"]

CONFERENCE_PLAY_VOLUME_CHANGED_EVENT_EVENT_VALUES: set[
    ConferencePlayVolumeChangedEventEvent
] = {
    "conference.play.volume_changed",
}


def check_conference_play_volume_changed_event_event(
    value: str,
) -> ConferencePlayVolumeChangedEventEvent:
    if value in CONFERENCE_PLAY_VOLUME_CHANGED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_PLAY_VOLUME_CHANGED_EVENT_EVENT_VALUES!r}"
    )
