from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="StreamEnvelope")


@_attrs_define
class StreamEnvelope:
    """An event about the stream itself."""

    app_id: str
    timestamp: datetime.datetime
    room_id: str | Unset = UNSET
    """ A conference: its node, and a UUID in lower case. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        app_id = self.app_id

        timestamp = self.timestamp.isoformat()

        room_id = self.room_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "app_id": app_id,
                "timestamp": timestamp,
            }
        )
        if room_id is not UNSET:
            field_dict["room_id"] = room_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        app_id = d.pop("app_id")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        room_id = d.pop("room_id", UNSET)

        stream_envelope = cls(
            app_id=app_id,
            timestamp=timestamp,
            room_id=room_id,
        )

        stream_envelope.additional_properties = d
        return stream_envelope

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
