from typing import Literal

ConferenceMemberRecordingStoppedEventEvent = Literal[
    "conference.member.recording.stopped"
]

CONFERENCE_MEMBER_RECORDING_STOPPED_EVENT_EVENT_VALUES: set[
    ConferenceMemberRecordingStoppedEventEvent
] = {
    "conference.member.recording.stopped",
}


def check_conference_member_recording_stopped_event_event(
    value: str,
) -> ConferenceMemberRecordingStoppedEventEvent:
    if value in CONFERENCE_MEMBER_RECORDING_STOPPED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_RECORDING_STOPPED_EVENT_EVENT_VALUES!r}"
    )
