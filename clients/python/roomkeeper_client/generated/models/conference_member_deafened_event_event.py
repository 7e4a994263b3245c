from typing import Literal

ConferenceMemberDeafenedEventEvent = Literal["conference.member.deafened"]

CONFERENCE_MEMBER_DEAFENED_EVENT_EVENT_VALUES: set[
    ConferenceMemberDeafenedEventEvent
] = {
    "conference.member.deafened",
}


def check_conference_member_deafened_event_event(
    value: str,
) -> ConferenceMemberDeafenedEventEvent:
    if value in CONFERENCE_MEMBER_DEAFENED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_DEAFENED_EVENT_EVENT_VALUES!r}"
    )
