from typing import Literal

ConferenceMemberDtmfEventEvent = Literal["conference.member.dtmf"]

CONFERENCE_MEMBER_DTMF_EVENT_EVENT_VALUES: set[ConferenceMemberDtmfEventEvent] = {
    "conference.member.dtmf",
}


def check_conference_member_dtmf_event_event(
    value: str,
) -> ConferenceMemberDtmfEventEvent:
    if value in CONFERENCE_MEMBER_DTMF_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_MEMBER_DTMF_EVENT_EVENT_VALUES!r}"
    )
