from typing import Literal

DialOutStatus = Literal["cancelling", "dialling", "ringing", "waiting"]

DIAL_OUT_STATUS_VALUES: set[DialOutStatus] = {
    "cancelling",
    "dialling",
    "ringing",
    "waiting",
}


def check_dial_out_status(value: str) -> DialOutStatus:
    if value in DIAL_OUT_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {DIAL_OUT_STATUS_VALUES!r}"
    )
