from typing import Literal

ConferenceMemberTalkingEventEvent = Literal["conference.member.talking"]

CONFERENCE_MEMBER_TALKING_EVENT_EVENT_VALUES: set[ConferenceMemberTalkingEventEvent] = {
    "conference.member.talking",
}


def check_conference_member_talking_event_event(
    value: str,
) -> ConferenceMemberTalkingEventEvent:
    if value in CONFERENCE_MEMBER_TALKING_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_TALKING_EVENT_EVENT_VALUES!r}"
    )
