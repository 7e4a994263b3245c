from typing import Literal

ConferenceMemberUncoachedEventEvent = Literal["conference.member.uncoached"]

CONFERENCE_MEMBER_UNCOACHED_EVENT_EVENT_VALUES: set[
    ConferenceMemberUncoachedEventEvent
] = {
    "conference.member.uncoached",
}


def check_conference_member_uncoached_event_event(
    value: str,
) -> ConferenceMemberUncoachedEventEvent:
    if value in CONFERENCE_MEMBER_UNCOACHED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_UNCOACHED_EVENT_EVENT_VALUES!r}"
    )
