from typing import Literal

CoachEndReason = Literal[
    "hangup", "member_left", "orphan", "refused", "removed", "requested", "timeout"
]

COACH_END_REASON_VALUES: set[CoachEndReason] = {
    "hangup",
    "member_left",
    "orphan",
    "refused",
    "removed",
    "requested",
    "timeout",
}


def check_coach_end_reason(value: str) -> CoachEndReason:
    if value in COACH_END_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {COACH_END_REASON_VALUES!r}"
    )
