from typing import Literal

ConferenceMemberUndeafenedEventEvent = Literal["conference.member.undeafened"]

CONFERENCE_MEMBER_UNDEAFENED_EVENT_EVENT_VALUES: set[
    ConferenceMemberUndeafenedEventEvent
] = {
    "conference.member.undeafened",
}


def check_conference_member_undeafened_event_event(
    value: str,
) -> ConferenceMemberUndeafenedEventEvent:
    if value in CONFERENCE_MEMBER_UNDEAFENED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_UNDEAFENED_EVENT_EVENT_VALUES!r}"
    )
