from typing import Literal

ConferenceMemberUnmutedEventEvent = Literal["conference.member.unmuted"]

CONFERENCE_MEMBER_UNMUTED_EVENT_EVENT_VALUES: set[ConferenceMemberUnmutedEventEvent] = {
    "conference.member.unmuted",
}


def check_conference_member_unmuted_event_event(
    value: str,
) -> ConferenceMemberUnmutedEventEvent:
    if value in CONFERENCE_MEMBER_UNMUTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_UNMUTED_EVENT_EVENT_VALUES!r}"
    )
