from typing import Literal

CallAnsweredEventEvent = Literal["call.answered"]

CALL_ANSWERED_EVENT_EVENT_VALUES: set[CallAnsweredEventEvent] = {
    "call.answered",
}


def check_call_answered_event_event(value: str) -> CallAnsweredEventEvent:
    if value in CALL_ANSWERED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_ANSWERED_EVENT_EVENT_VALUES!r}"
    )
