from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_command_status import (
    MemberCommandStatus,
    check_member_command_status,
)

T = TypeVar("T", bound="MemberCommand")


@_attrs_define
class MemberCommand:
    room_id: str
    """ A conference: its node, and a UUID in lower case. """
    status: MemberCommandStatus
    """ The effect of an accepted command on a membership. `muted`, `unmuted`, `deafened`, `undeafened`, `held` and
    `unheld` name
    the state that the webhook confirms. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        room_id = self.room_id

        status: str = self.status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "room_id": room_id,
                "status": status,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        room_id = d.pop("room_id")

        status = check_member_command_status(d.pop("status"))

        member_command = cls(
            room_id=room_id,
            status=status,
        )

        member_command.additional_properties = d
        return member_command

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
