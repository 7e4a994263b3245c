from typing import Literal

ConferenceMemberRecordingFailedEventEvent = Literal[
    "conference.member.recording.failed"
]

CONFERENCE_MEMBER_RECORDING_FAILED_EVENT_EVENT_VALUES: set[
    ConferenceMemberRecordingFailedEventEvent
] = {
    "conference.member.recording.failed",
}


def check_conference_member_recording_failed_event_event(
    value: str,
) -> ConferenceMemberRecordingFailedEventEvent:
    if value in CONFERENCE_MEMBER_RECORDING_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_RECORDING_FAILED_EVENT_EVENT_VALUES!r}"
    )
