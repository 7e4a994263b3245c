from typing import Literal

ConferencecallStatus = Literal["joined", "joining", "leaved", "leaving"]

CONFERENCECALL_STATUS_VALUES: set[ConferencecallStatus] = {
    "joined",
    "joining",
    "leaved",
    "leaving",
}


def check_conferencecall_status(value: str) -> ConferencecallStatus:
    if value in CONFERENCECALL_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCECALL_STATUS_VALUES!r}"
    )
