from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.room_row import RoomRow


T = TypeVar("T", bound="RoomList")


@_attrs_define
class RoomList:
    conferences: list[RoomRow]
    cursor: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        conferences = []
        for conferences_item_data in self.conferences:
            conferences_item = conferences_item_data.to_dict()
            conferences.append(conferences_item)

        cursor = self.cursor

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "conferences": conferences,
                "cursor": cursor,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.room_row import RoomRow

        d = dict(src_dict)
        conferences = []
        _conferences = d.pop("conferences")
        for conferences_item_data in _conferences:
            conferences_item = RoomRow.from_dict(conferences_item_data)

            conferences.append(conferences_item)

        cursor = d.pop("cursor")

        room_list = cls(
            conferences=conferences,
            cursor=cursor,
        )

        room_list.additional_properties = d
        return room_list

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
