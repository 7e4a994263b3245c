from typing import Literal

ConferenceMemberPlayFinishedEventEvent = Literal["conference.member.play.finished"]

CONFERENCE_MEMBER_PLAY_FINISHED_EVENT_EVENT_VALUES: set[
    ConferenceMemberPlayFinishedEventEvent
] = {
    "conference.member.play.finished",
}


def check_conference_member_play_finished_event_event(
    value: str,
) -> ConferenceMemberPlayFinishedEventEvent:
    if value in CONFERENCE_MEMBER_PLAY_FINISHED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_PLAY_FINISHED_EVENT_EVENT_VALUES!r}"
    )
