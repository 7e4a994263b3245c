from typing import Literal

ConferenceMemberCoachFailedEventEvent = Literal["conference.member.coach_failed"]

CONFERENCE_MEMBER_COACH_FAILED_EVENT_EVENT_VALUES: set[
    ConferenceMemberCoachFailedEventEvent
] = {
    "conference.member.coach_failed",
}


def check_conference_member_coach_failed_event_event(
    value: str,
) -> ConferenceMemberCoachFailedEventEvent:
    if value in CONFERENCE_MEMBER_COACH_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_COACH_FAILED_EVENT_EVENT_VALUES!r}"
    )
