from typing import Literal

ConferenceMemberPlayStartedEventEvent = Literal["conference.member.play.started"]

CONFERENCE_MEMBER_PLAY_STARTED_EVENT_EVENT_VALUES: set[
    ConferenceMemberPlayStartedEventEvent
] = {
    "conference.member.play.started",
}


def check_conference_member_play_started_event_event(
    value: str,
) -> ConferenceMemberPlayStartedEventEvent:
    if value in CONFERENCE_MEMBER_PLAY_STARTED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_PLAY_STARTED_EVENT_EVENT_VALUES!r}"
    )
