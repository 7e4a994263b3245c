from typing import Literal

ConferenceMemberLeftEventEvent = Literal["conference.member.left"]

CONFERENCE_MEMBER_LEFT_EVENT_EVENT_VALUES: set[ConferenceMemberLeftEventEvent] = {
    "conference.member.left",
}


def check_conference_member_left_event_event(
    value: str,
) -> ConferenceMemberLeftEventEvent:
    if value in CONFERENCE_MEMBER_LEFT_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_LEFT_EVENT_EVENT_VALUES!r}"
    )
