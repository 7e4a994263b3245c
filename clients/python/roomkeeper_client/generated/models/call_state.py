from typing import Literal

CallState = Literal[
    "acting",
    "coaching",
    "in_room",
    "joining",
    "leaving",
    "parked",
    "ringing",
    "transferred",
    "transferring",
]

CALL_STATE_VALUES: set[CallState] = {
    "acting",
    "coaching",
    "in_room",
    "joining",
    "leaving",
    "parked",
    "ringing",
    "transferred",
    "transferring",
}


def check_call_state(value: str) -> CallState:
    if value in CALL_STATE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_STATE_VALUES!r}"
    )
