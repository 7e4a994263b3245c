from typing import Literal

MemberCommandStatus = Literal[
    "already_joined",
    "deafened",
    "held",
    "joining",
    "leaving",
    "moving",
    "muted",
    "undeafened",
    "unheld",
    "unmuted",
]

MEMBER_COMMAND_STATUS_VALUES: set[MemberCommandStatus] = {
    "already_joined",
    "deafened",
    "held",
    "joining",
    "leaving",
    "moving",
    "muted",
    "undeafened",
    "unheld",
    "unmuted",
}


def check_member_command_status(value: str) -> MemberCommandStatus:
    if value in MEMBER_COMMAND_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MEMBER_COMMAND_STATUS_VALUES!r}"
    )
