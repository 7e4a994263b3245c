from typing import Literal

RecordingFormat = Literal["wav"]

RECORDING_FORMAT_VALUES: set[RecordingFormat] = {
    "wav",
}


def check_recording_format(value: str) -> RecordingFormat:
    if value in RECORDING_FORMAT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {RECORDING_FORMAT_VALUES!r}"
    )
