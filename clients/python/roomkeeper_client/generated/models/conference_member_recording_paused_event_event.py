from typing import Literal

ConferenceMemberRecordingPausedEventEvent = Literal[
    "conference.member.recording.paused"
]

CONFERENCE_MEMBER_RECORDING_PAUSED_EVENT_EVENT_VALUES: set[
    ConferenceMemberRecordingPausedEventEvent
] = {
    "conference.member.recording.paused",
}


def check_conference_member_recording_paused_event_event(
    value: str,
) -> ConferenceMemberRecordingPausedEventEvent:
    if value in CONFERENCE_MEMBER_RECORDING_PAUSED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_RECORDING_PAUSED_EVENT_EVENT_VALUES!r}"
    )
