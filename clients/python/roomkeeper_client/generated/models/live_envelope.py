from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="LiveEnvelope")


@_attrs_define
class LiveEnvelope:
    """An event of the event stream alone, which is not stored."""

    app_id: str
    room_id: str
    """ A conference: its node, and a UUID in lower case. """
    timestamp: datetime.datetime
    session_uuid: str | Unset = UNSET
    """ A call: its node, and the UUID of its channel in lower case. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        app_id = self.app_id

        room_id = self.room_id

        timestamp = self.timestamp.isoformat()

        session_uuid = self.session_uuid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "app_id": app_id,
                "room_id": room_id,
                "timestamp": timestamp,
            }
        )
        if session_uuid is not UNSET:
            field_dict["session_uuid"] = session_uuid

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        app_id = d.pop("app_id")

        room_id = d.pop("room_id")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        session_uuid = d.pop("session_uuid", UNSET)

        live_envelope = cls(
            app_id=app_id,
            room_id=room_id,
            timestamp=timestamp,
            session_uuid=session_uuid,
        )

        live_envelope.additional_properties = d
        return live_envelope

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
