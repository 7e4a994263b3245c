from typing import Literal

UpdateStatus = Literal["unchanged", "updated"]

UPDATE_STATUS_VALUES: set[UpdateStatus] = {
    "unchanged",
    "updated",
}


def check_update_status(value: str) -> UpdateStatus:
    if value in UPDATE_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {UPDATE_STATUS_VALUES!r}"
    )
