from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_row import MemberRow


T = TypeVar("T", bound="MemberList")


@_attrs_define
class MemberList:
    cursor: str
    members: list[MemberRow]
    room_id: str
    """ A conference: its node, and a UUID in lower case. """
    stale: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        cursor = self.cursor

        members = []
        for members_item_data in self.members:
            members_item = members_item_data.to_dict()
            members.append(members_item)

        room_id = self.room_id

        stale = self.stale

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "cursor": cursor,
                "members": members,
                "room_id": room_id,
            }
        )
        if stale is not UNSET:
            field_dict["stale"] = stale

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_row import MemberRow

        d = dict(src_dict)
        cursor = d.pop("cursor")

        members = []
        _members = d.pop("members")
        for members_item_data in _members:
            members_item = MemberRow.from_dict(members_item_data)

            members.append(members_item)

        room_id = d.pop("room_id")

        stale = d.pop("stale", UNSET)

        member_list = cls(
            cursor=cursor,
            members=members,
            room_id=room_id,
            stale=stale,
        )

        member_list.additional_properties = d
        return member_list

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
