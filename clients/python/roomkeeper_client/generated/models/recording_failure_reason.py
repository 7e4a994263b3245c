from typing import Literal

RecordingFailureReason = Literal["announcement", "stopped"]

RECORDING_FAILURE_REASON_VALUES: set[RecordingFailureReason] = {
    "announcement",
    "stopped",
}


def check_recording_failure_reason(value: str) -> RecordingFailureReason:
    if value in RECORDING_FAILURE_REASON_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {RECORDING_FAILURE_REASON_VALUES!r}"
    )
