from typing import Literal

ConferenceMemberJoinedEventEvent = Literal["conference.member.joined"]

CONFERENCE_MEMBER_JOINED_EVENT_EVENT_VALUES: set[ConferenceMemberJoinedEventEvent] = {
    "conference.member.joined",
}


def check_conference_member_joined_event_event(
    value: str,
) -> ConferenceMemberJoinedEventEvent:
    if value in CONFERENCE_MEMBER_JOINED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_JOINED_EVENT_EVENT_VALUES!r}"
    )
