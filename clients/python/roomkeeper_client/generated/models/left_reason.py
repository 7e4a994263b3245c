from typing import Literal

LeftReason = Literal[
    "hangup",
    "moved",
    "orphan",
    "removed",
    "room_destroyed",
    "silence",
    "timeout",
    "transferred",
]

LEFT_REASON_VALUES: set[LeftReason] = {
    "hangup",
    "moved",
    "orphan",
    "removed",
    "room_destroyed",
    "silence",
    "timeout",
    "transferred",
}


def check_left_reason(value: str) -> LeftReason:
    if value in LEFT_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {LEFT_REASON_VALUES!r}"
    )
