from typing import Literal

ConferenceRecordingStartedEventEvent = Literal["conference.recording.started"]

CONFERENCE_RECORDING_STARTED_EVENT_EVENT_VALUES: set[
    ConferenceRecordingStartedEventEvent
] = {
    "conference.recording.started",
}


def check_conference_recording_started_event_event(
    value: str,
) -> ConferenceRecordingStartedEventEvent:
    if value in CONFERENCE_RECORDING_STARTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_RECORDING_STARTED_EVENT_EVENT_VALUES!r}"
    )
