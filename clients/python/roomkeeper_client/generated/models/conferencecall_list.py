from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.conferencecall import Conferencecall


T = TypeVar("T", bound="ConferencecallList")


@_attrs_define
class ConferencecallList:
    next_page_token: str
    result: list[Conferencecall]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        next_page_token = self.next_page_token

        result = []
        for result_item_data in self.result:
            result_item = result_item_data.to_dict()
            result.append(result_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "next_page_token": next_page_token,
                "result": result,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.conferencecall import Conferencecall

        d = dict(src_dict)
        next_page_token = d.pop("next_page_token")

        result = []
        _result = d.pop("result")
        for result_item_data in _result:
            result_item = Conferencecall.from_dict(result_item_data)

            result.append(result_item)

        conferencecall_list = cls(
            next_page_token=next_page_token,
            result=result,
        )

        conferencecall_list.additional_properties = d
        return conferencecall_list

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
