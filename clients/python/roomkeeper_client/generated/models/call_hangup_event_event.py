from typing import Literal

CallHangupEventEvent = Literal["call.hangup"]

CALL_HANGUP_EVENT_EVENT_VALUES: set[CallHangupEventEvent] = {
    "call.hangup",
}


def check_call_hangup_event_event(value: str) -> CallHangupEventEvent:
    if value in CALL_HANGUP_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_HANGUP_EVENT_EVENT_VALUES!r}"
    )
