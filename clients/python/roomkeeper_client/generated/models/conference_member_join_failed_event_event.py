from typing import Literal

ConferenceMemberJoinFailedEventEvent = Literal["conference.member.join_failed"]

CONFERENCE_MEMBER_JOIN_FAILED_EVENT_EVENT_VALUES: set[
    ConferenceMemberJoinFailedEventEvent
] = {
    "conference.member.join_failed",
}


def check_conference_member_join_failed_event_event(
    value: str,
) -> ConferenceMemberJoinFailedEventEvent:
    if value in CONFERENCE_MEMBER_JOIN_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_JOIN_FAILED_EVENT_EVENT_VALUES!r}"
    )
