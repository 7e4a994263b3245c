from typing import Literal

ConferenceMemberRecordingResumedEventEvent = Literal[
    "conference.member.recording.resumed"
]

CONFERENCE_MEMBER_RECORDING_RESUMED_EVENT_EVENT_VALUES: set[
    ConferenceMemberRecordingResumedEventEvent
] = {
    "conference.member.recording.resumed",
}


def check_conference_member_recording_resumed_event_event(
    value: str,
) -> ConferenceMemberRecordingResumedEventEvent:
    if value in CONFERENCE_MEMBER_RECORDING_RESUMED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_RECORDING_RESUMED_EVENT_EVENT_VALUES!r}"
    )
