from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="MemberTalking")


@_attrs_define
class MemberTalking:
    conferencecall_id: UUID
    session_uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
    talking: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        conferencecall_id = str(self.conferencecall_id)

        session_uuid = self.session_uuid

        talking = self.talking

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "conferencecall_id": conferencecall_id,
                "session_uuid": session_uuid,
                "talking": talking,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        conferencecall_id = UUID(d.pop("conferencecall_id"))

        session_uuid = d.pop("session_uuid")

        talking = d.pop("talking")

        member_talking = cls(
            conferencecall_id=conferencecall_id,
            session_uuid=session_uuid,
            talking=talking,
        )

        member_talking.additional_properties = d
        return member_talking

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
