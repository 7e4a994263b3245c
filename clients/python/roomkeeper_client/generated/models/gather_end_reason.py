from typing import Literal

GatherEndReason = Literal[
    "failed", "hangup", "matched", "no_input", "stopped", "timeout"
]

GATHER_END_REASON_VALUES: set[GatherEndReason] = {
    "failed",
    "hangup",
    "matched",
    "no_input",
    "stopped",
    "timeout",
}


def check_gather_end_reason(value: str) -> GatherEndReason:
    if value in GATHER_END_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {GATHER_END_REASON_VALUES!r}"
    )
