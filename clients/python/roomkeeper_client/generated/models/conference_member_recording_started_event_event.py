from typing import Literal

ConferenceMemberRecordingStartedEventEvent = Literal[
    "conference.member.recording.started"
]

CONFERENCE_MEMBER_RECORDING_STARTED_EVENT_EVENT_VALUES: set[
    ConferenceMemberRecordingStartedEventEvent
] = {
    "conference.member.recording.started",
}


def check_conference_member_recording_started_event_event(
    value: str,
) -> ConferenceMemberRecordingStartedEventEvent:
    if value in CONFERENCE_MEMBER_RECORDING_STARTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_RECORDING_STARTED_EVENT_EVENT_VALUES!r}"
    )
