from typing import Literal

ConferenceMemberPlayStoppedEventEvent = Literal["conference.member.play.stopped"]

CONFERENCE_MEMBER_PLAY_STOPPED_EVENT_EVENT_VALUES: set[
    ConferenceMemberPlayStoppedEventEvent
] = {
    "conference.member.play.stopped",
}


def check_conference_member_play_stopped_event_event(
    value: str,
) -> ConferenceMemberPlayStoppedEventEvent:
    if value in CONFERENCE_MEMBER_PLAY_STOPPED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_PLAY_STOPPED_EVENT_EVENT_VALUES!r}"
    )
