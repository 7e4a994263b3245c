from typing import Literal

PlaybackStatus = Literal["paused", "playing", "stopped"]

PLAYBACK_STATUS_VALUES: set[PlaybackStatus] = {
    "paused",
    "playing",
    "stopped",
}


def check_playback_status(value: str) -> PlaybackStatus:
    if value in PLAYBACK_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PLAYBACK_STATUS_VALUES!r}"
    )
