from typing import Literal

MemberTalkingEventEvent = Literal["member.talking"]

MEMBER_TALKING_EVENT_EVENT_VALUES: set[MemberTalkingEventEvent] = {
    "member.talking",
}


def check_member_talking_event_event(value: str) -> MemberTalkingEventEvent:
    if value in MEMBER_TALKING_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MEMBER_TALKING_EVENT_EVENT_VALUES!r}"
    )
