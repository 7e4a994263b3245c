from typing import Literal

ConferenceRecordingResumedEventEvent = Literal["conference.recording.resumed"]

CONFERENCE_RECORDING_RESUMED_EVENT_EVENT_VALUES: set[
    ConferenceRecordingResumedEventEvent
] = {
    "conference.recording.resumed",
}


def check_conference_recording_resumed_event_event(
    value: str,
) -> ConferenceRecordingResumedEventEvent:
    if value in CONFERENCE_RECORDING_RESUMED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_RECORDING_RESUMED_EVENT_EVENT_VALUES!r}"
    )
