from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="MemberFloor")


@_attrs_define
class MemberFloor:
    """The member that has the floor; both `null` if no member has it."""

    conferencecall_id: None | UUID
    session_uuid: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        conferencecall_id: None | str
        if isinstance(self.conferencecall_id, UUID):
            conferencecall_id = str(self.conferencecall_id)
        else:
            conferencecall_id = self.conferencecall_id

        session_uuid: None | str
        session_uuid = self.session_uuid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "conferencecall_id": conferencecall_id,
                "session_uuid": session_uuid,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_conferencecall_id(data: object) -> None | UUID:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                conferencecall_id_type_0 = UUID(data)

                return conferencecall_id_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | UUID, data)

        conferencecall_id = _parse_conferencecall_id(d.pop("conferencecall_id"))

        def _parse_session_uuid(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        session_uuid = _parse_session_uuid(d.pop("session_uuid"))

        member_floor = cls(
            conferencecall_id=conferencecall_id,
            session_uuid=session_uuid,
        )

        member_floor.additional_properties = d
        return member_floor

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
