from typing import Literal

ConferenceMemberUpdatedEventEvent = Literal["conference.member.updated"]

CONFERENCE_MEMBER_UPDATED_EVENT_EVENT_VALUES: set[ConferenceMemberUpdatedEventEvent] = {
    "conference.member.updated",
}


def check_conference_member_updated_event_event(
    value: str,
) -> ConferenceMemberUpdatedEventEvent:
    if value in CONFERENCE_MEMBER_UPDATED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_UPDATED_EVENT_EVENT_VALUES!r}"
    )
