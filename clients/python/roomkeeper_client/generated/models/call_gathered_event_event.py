from typing import Literal

CallGatheredEventEvent = Literal["call.gathered"]

CALL_GATHERED_EVENT_EVENT_VALUES: set[CallGatheredEventEvent] = {
    "call.gathered",
}


def check_call_gathered_event_event(value: str) -> CallGatheredEventEvent:
    if value in CALL_GATHERED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CALL_GATHERED_EVENT_EVENT_VALUES!r}"
    )
