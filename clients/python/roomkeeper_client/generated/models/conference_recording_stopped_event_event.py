from typing import Literal

ConferenceRecordingStoppedEventEvent = Literal["conference.recording.stopped"]

CONFERENCE_RECORDING_STOPPED_EVENT_EVENT_VALUES: set[
    ConferenceRecordingStoppedEventEvent
] = {
    "conference.recording.stopped",
}


def check_conference_recording_stopped_event_event(
    value: str,
) -> ConferenceRecordingStoppedEventEvent:
    if value in CONFERENCE_RECORDING_STOPPED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_RECORDING_STOPPED_EVENT_EVENT_VALUES!r}"
    )
