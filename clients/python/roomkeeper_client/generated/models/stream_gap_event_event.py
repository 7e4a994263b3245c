from typing import Literal

StreamGapEventEvent = Literal["stream.gap"]

STREAM_GAP_EVENT_EVENT_VALUES: set[StreamGapEventEvent] = {
    "stream.gap",
}


def check_stream_gap_event_event(value: str) -> StreamGapEventEvent:
    if value in STREAM_GAP_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {STREAM_GAP_EVENT_EVENT_VALUES!r}"
    )
