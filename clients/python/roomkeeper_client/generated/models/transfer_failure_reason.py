from typing import Literal

TransferFailureReason = Literal["busy", "cancelled", "failed", "no_answer", "removed"]

TRANSFER_FAILURE_REASON_VALUES: set[TransferFailureReason] = {
    "busy",
    "cancelled",
    "failed",
    "no_answer",
    "removed",
}


def check_transfer_failure_reason(value: str) -> TransferFailureReason:
    if value in TRANSFER_FAILURE_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {TRANSFER_FAILURE_REASON_VALUES!r}"
    )
