from typing import Literal

CallTransferredEventEvent = Literal["call.transferred"]

CALL_TRANSFERRED_EVENT_EVENT_VALUES: set[CallTransferredEventEvent] = {
    "call.transferred",
}


def check_call_transferred_event_event(value: str) -> CallTransferredEventEvent:
    if value in CALL_TRANSFERRED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_TRANSFERRED_EVENT_EVENT_VALUES!r}"
    )
