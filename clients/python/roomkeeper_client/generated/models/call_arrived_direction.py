from typing import Literal

CallArrivedDirection = Literal["inbound", "outbound"]

CALL_ARRIVED_DIRECTION_VALUES: set[CallArrivedDirection] = {
    "inbound",
    "outbound",
}


def check_call_arrived_direction(value: str) -> CallArrivedDirection:
    if value in CALL_ARRIVED_DIRECTION_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_ARRIVED_DIRECTION_VALUES!r}"
    )
