from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.dial_out_status import DialOutStatus, check_dial_out_status

T = TypeVar("T", bound="DialOutStarted")


@_attrs_define
class DialOutStarted:
    call_id: str
    """ A call: its node, and the UUID of its channel in lower case. """
    session_uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
    status: DialOutStatus
    """ The state of a dial-out. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        call_id = self.call_id

        session_uuid = self.session_uuid

        status: str = self.status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "call_id": call_id,
                "session_uuid": session_uuid,
                "status": status,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        call_id = d.pop("call_id")

        session_uuid = d.pop("session_uuid")

        status = check_dial_out_status(d.pop("status"))

        dial_out_started = cls(
            call_id=call_id,
            session_uuid=session_uuid,
            status=status,
        )

        dial_out_started.additional_properties = d
        return dial_out_started

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
