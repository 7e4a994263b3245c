from typing import Literal

LockStatus = Literal["in_progress", "locked", "unlocked"]

LOCK_STATUS_VALUES: set[LockStatus] = {
    "in_progress",
    "locked",
    "unlocked",
}


def check_lock_status(value: str) -> LockStatus:
    if value in LOCK_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {LOCK_STATUS_VALUES!r}"
    )
