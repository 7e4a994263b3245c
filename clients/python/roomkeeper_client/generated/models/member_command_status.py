from typing import Literal

MemberCommandStatus = Literal[
    "already_joined", "deafened", "joining", "leaving", "muted", "undeafened", "unmuted"
]

MEMBER_COMMAND_STATUS_VALUES: set[MemberCommandStatus] = {
    "already_joined",
    "deafened",
    "joining",
    "leaving",
    "muted",
    "undeafened",
    "unmuted",
}


def check_member_command_status(value: str) -> MemberCommandStatus:
    if value in MEMBER_COMMAND_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MEMBER_COMMAND_STATUS_VALUES!r}"
    )
