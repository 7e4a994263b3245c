from typing import Literal

CallTransferEndedEventEvent = Literal["call.transfer_ended"]

CALL_TRANSFER_ENDED_EVENT_EVENT_VALUES: set[CallTransferEndedEventEvent] = {
    "call.transfer_ended",
}


def check_call_transfer_ended_event_event(value: str) -> CallTransferEndedEventEvent:
    if value in CALL_TRANSFER_ENDED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_TRANSFER_ENDED_EVENT_EVENT_VALUES!r}"
    )
