from typing import Literal

ConferenceMemberTalkingMutedEventEvent = Literal["conference.member.talking_muted"]

CONFERENCE_MEMBER_TALKING_MUTED_EVENT_EVENT_VALUES: set[
    ConferenceMemberTalkingMutedEventEvent
] = {
    "conference.member.talking_muted",
}


def check_conference_member_talking_muted_event_event(
    value: str,
) -> ConferenceMemberTalkingMutedEventEvent:
    if value in CONFERENCE_MEMBER_TALKING_MUTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_TALKING_MUTED_EVENT_EVENT_VALUES!r}"
    )
