from typing import Literal

JoinFailureReason = Literal[
    "action_failed",
    "hangup",
    "moved",
    "orphan",
    "pin",
    "refused",
    "removed",
    "room_destroyed",
    "timeout",
]

JOIN_FAILURE_REASON_VALUES: set[JoinFailureReason] = {
    "action_failed",
    "hangup",
    "moved",
    "orphan",
    "pin",
    "refused",
    "removed",
    "room_destroyed",
    "timeout",
}


def check_join_failure_reason(value: str) -> JoinFailureReason:
    if value in JOIN_FAILURE_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {JOIN_FAILURE_REASON_VALUES!r}"
    )
