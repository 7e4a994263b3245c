from typing import Literal

CallDtmfEventEvent = Literal["call.dtmf"]

CALL_DTMF_EVENT_EVENT_VALUES: set[CallDtmfEventEvent] = {
    "call.dtmf",
}


def check_call_dtmf_event_event(value: str) -> CallDtmfEventEvent:
    if value in CALL_DTMF_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_DTMF_EVENT_EVENT_VALUES!r}"
    )
