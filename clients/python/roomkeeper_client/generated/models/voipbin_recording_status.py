from typing import Literal

VoipbinRecordingStatus = Literal["ended", "failed", "recording", "starting"]

VOIPBIN_RECORDING_STATUS_VALUES: set[VoipbinRecordingStatus] = {
    "ended",
    "failed",
    "recording",
    "starting",
}


def check_voipbin_recording_status(value: str) -> VoipbinRecordingStatus:
    if value in VOIPBIN_RECORDING_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {VOIPBIN_RECORDING_STATUS_VALUES!r}"
    )
