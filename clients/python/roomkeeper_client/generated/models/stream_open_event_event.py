from typing import Literal

StreamOpenEventEvent = Literal["stream.open"]

STREAM_OPEN_EVENT_EVENT_VALUES: set[StreamOpenEventEvent] = {
    "stream.open",
}


def check_stream_open_event_event(value: str) -> StreamOpenEventEvent:
    if value in STREAM_OPEN_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {STREAM_OPEN_EVENT_EVENT_VALUES!r}"
    )
