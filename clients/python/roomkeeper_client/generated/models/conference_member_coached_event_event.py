from typing import Literal

ConferenceMemberCoachedEventEvent = Literal["conference.member.coached"]

CONFERENCE_MEMBER_COACHED_EVENT_EVENT_VALUES: set[ConferenceMemberCoachedEventEvent] = {
    "conference.member.coached",
}


def check_conference_member_coached_event_event(
    value: str,
) -> ConferenceMemberCoachedEventEvent:
    if value in CONFERENCE_MEMBER_COACHED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_COACHED_EVENT_EVENT_VALUES!r}"
    )
