from typing import Literal

ConferenceMemberMutedEventEvent = Literal["conference.member.muted"]

CONFERENCE_MEMBER_MUTED_EVENT_EVENT_VALUES: set[ConferenceMemberMutedEventEvent] = {
    "conference.member.muted",
}


def check_conference_member_muted_event_event(
    value: str,
) -> ConferenceMemberMutedEventEvent:
    if value in CONFERENCE_MEMBER_MUTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_MUTED_EVENT_EVENT_VALUES!r}"
    )
