from typing import Literal

DialOutCancelStatus = Literal["cancelled", "cancelling"]

DIAL_OUT_CANCEL_STATUS_VALUES: set[DialOutCancelStatus] = {
    "cancelled",
    "cancelling",
}


def check_dial_out_cancel_status(value: str) -> DialOutCancelStatus:
    if value in DIAL_OUT_CANCEL_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {DIAL_OUT_CANCEL_STATUS_VALUES!r}"
    )
