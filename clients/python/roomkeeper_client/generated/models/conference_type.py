from typing import Literal

ConferenceType = Literal["conference", "connect"]

CONFERENCE_TYPE_VALUES: set[ConferenceType] = {
    "conference",
    "connect",
}


def check_conference_type(value: str) -> ConferenceType:
    if value in CONFERENCE_TYPE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_TYPE_VALUES!r}"
    )
