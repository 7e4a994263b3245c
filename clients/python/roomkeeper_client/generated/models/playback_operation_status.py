from typing import Literal

PlaybackOperationStatus = Literal["in_progress", "paused", "stopped"]

PLAYBACK_OPERATION_STATUS_VALUES: set[PlaybackOperationStatus] = {
    "in_progress",
    "paused",
    "stopped",
}


def check_playback_operation_status(value: str) -> PlaybackOperationStatus:
    if value in PLAYBACK_OPERATION_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PLAYBACK_OPERATION_STATUS_VALUES!r}"
    )
