from typing import Literal

CoachStatus = Literal["in_progress", "stopping"]

COACH_STATUS_VALUES: set[CoachStatus] = {
    "in_progress",
    "stopping",
}


def check_coach_status(value: str) -> CoachStatus:
    if value in COACH_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {COACH_STATUS_VALUES!r}"
    )
