from typing import Literal

ConferenceMemberHeldEventEvent = Literal["conference.member.held"]

CONFERENCE_MEMBER_HELD_EVENT_EVENT_VALUES: set[ConferenceMemberHeldEventEvent] = {
    "conference.member.held",
}


def check_conference_member_held_event_event(
    value: str,
) -> ConferenceMemberHeldEventEvent:
    if value in CONFERENCE_MEMBER_HELD_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_HELD_EVENT_EVENT_VALUES!r}"
    )
