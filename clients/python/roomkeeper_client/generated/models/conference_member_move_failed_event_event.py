from typing import Literal

ConferenceMemberMoveFailedEventEvent = Literal["conference.member.move_failed"]

CONFERENCE_MEMBER_MOVE_FAILED_EVENT_EVENT_VALUES: set[
    ConferenceMemberMoveFailedEventEvent
] = {
    "conference.member.move_failed",
}


def check_conference_member_move_failed_event_event(
    value: str,
) -> ConferenceMemberMoveFailedEventEvent:
    if value in CONFERENCE_MEMBER_MOVE_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_MOVE_FAILED_EVENT_EVENT_VALUES!r}"
    )
