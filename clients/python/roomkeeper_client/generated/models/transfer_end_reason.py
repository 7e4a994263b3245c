from typing import Literal

TransferEndReason = Literal["cancelled", "hangup", "removed"]

TRANSFER_END_REASON_VALUES: set[TransferEndReason] = {
    "cancelled",
    "hangup",
    "removed",
}


def check_transfer_end_reason(value: str) -> TransferEndReason:
    if value in TRANSFER_END_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {TRANSFER_END_REASON_VALUES!r}"
    )
