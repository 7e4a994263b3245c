from typing import Literal

ConferenceRecordingPausedEventEvent = Literal["conference.recording.paused"]

CONFERENCE_RECORDING_PAUSED_EVENT_EVENT_VALUES: set[
    ConferenceRecordingPausedEventEvent
] = {
    "conference.recording.paused",
}


def check_conference_recording_paused_event_event(
    value: str,
) -> ConferenceRecordingPausedEventEvent:
    if value in CONFERENCE_RECORDING_PAUSED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_RECORDING_PAUSED_EVENT_EVENT_VALUES!r}"
    )
