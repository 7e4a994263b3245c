from typing import Literal

KeypadStatus = Literal["in_progress", "stopping"]

KEYPAD_STATUS_VALUES: set[KeypadStatus] = {
    "in_progress",
    "stopping",
}


def check_keypad_status(value: str) -> KeypadStatus:
    if value in KEYPAD_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {KEYPAD_STATUS_VALUES!r}"
    )
