from typing import Literal

CallTransferFailedEventEvent = Literal["call.transfer_failed"]

CALL_TRANSFER_FAILED_EVENT_EVENT_VALUES: set[CallTransferFailedEventEvent] = {
    "call.transfer_failed",
}


def check_call_transfer_failed_event_event(value: str) -> CallTransferFailedEventEvent:
    if value in CALL_TRANSFER_FAILED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_TRANSFER_FAILED_EVENT_EVENT_VALUES!r}"
    )
