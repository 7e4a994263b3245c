from typing import Literal

CallNewEventEvent = Literal["call.new"]

CALL_NEW_EVENT_EVENT_VALUES: set[CallNewEventEvent] = {
    "call.new",
}


def check_call_new_event_event(value: str) -> CallNewEventEvent:
    if value in CALL_NEW_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_NEW_EVENT_EVENT_VALUES!r}"
    )
