from typing import Literal

MemberFloorEventEvent = Literal["member.floor"]

MEMBER_FLOOR_EVENT_EVENT_VALUES: set[MemberFloorEventEvent] = {
    "member.floor",
}


def check_member_floor_event_event(value: str) -> MemberFloorEventEvent:
    if value in MEMBER_FLOOR_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MEMBER_FLOOR_EVENT_EVENT_VALUES!r}"
    )
