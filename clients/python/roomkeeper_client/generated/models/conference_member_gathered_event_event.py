from typing import Literal

ConferenceMemberGatheredEventEvent = Literal["conference.member.gathered"]

CONFERENCE_MEMBER_GATHERED_EVENT_EVENT_VALUES: set[
    ConferenceMemberGatheredEventEvent
] = {
    "conference.member.gathered",
}


def check_conference_member_gathered_event_event(
    value: str,
) -> ConferenceMemberGatheredEventEvent:
    if value in CONFERENCE_MEMBER_GATHERED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_GATHERED_EVENT_EVENT_VALUES!r}"
    )
