from typing import Literal

RecordingStatus = Literal["announcing", "paused", "recording", "starting", "stopping"]

RECORDING_STATUS_VALUES: set[RecordingStatus] = {
    "announcing",
    "paused",
    "recording",
    "starting",
    "stopping",
}


def check_recording_status(value: str) -> RecordingStatus:
    if value in RECORDING_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {RECORDING_STATUS_VALUES!r}"
    )
