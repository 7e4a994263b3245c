from typing import Literal

ConferenceMemberUnheldEventEvent = Literal["conference.member.unheld"]

CONFERENCE_MEMBER_UNHELD_EVENT_EVENT_VALUES: set[ConferenceMemberUnheldEventEvent] = {
    "conference.member.unheld",
}


def check_conference_member_unheld_event_event(
    value: str,
) -> ConferenceMemberUnheldEventEvent:
    if value in CONFERENCE_MEMBER_UNHELD_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_UNHELD_EVENT_EVENT_VALUES!r}"
    )
