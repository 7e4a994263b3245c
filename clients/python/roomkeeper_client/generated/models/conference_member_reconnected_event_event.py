from typing import Literal

ConferenceMemberReconnectedEventEvent = Literal["conference.member.reconnected"]

CONFERENCE_MEMBER_RECONNECTED_EVENT_EVENT_VALUES: set[
    ConferenceMemberReconnectedEventEvent
] = {
    "conference.member.reconnected",
}


def check_conference_member_reconnected_event_event(
    value: str,
) -> ConferenceMemberReconnectedEventEvent:
    if value in CONFERENCE_MEMBER_RECONNECTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_RECONNECTED_EVENT_EVENT_VALUES!r}"
    )
