from typing import Literal

ConferenceRecordingFailedEventEvent = Literal["conference.recording.failed"]

CONFERENCE_RECORDING_FAILED_EVENT_EVENT_VALUES: set[
    ConferenceRecordingFailedEventEvent
] = {
    "conference.recording.failed",
}


def check_conference_recording_failed_event_event(
    value: str,
) -> ConferenceRecordingFailedEventEvent:
    if value in CONFERENCE_RECORDING_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_RECORDING_FAILED_EVENT_EVENT_VALUES!r}"
    )
