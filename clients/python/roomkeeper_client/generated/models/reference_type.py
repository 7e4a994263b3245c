from typing import Literal

ReferenceType = Literal["call"]

REFERENCE_TYPE_VALUES: set[ReferenceType] = {
    "call",
}


def check_reference_type(value: str) -> ReferenceType:
    if value in REFERENCE_TYPE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {REFERENCE_TYPE_VALUES!r}"
    )
