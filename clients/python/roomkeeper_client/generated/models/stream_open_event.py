from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.stream_open_event_event import (
    StreamOpenEventEvent,
    check_stream_open_event_event,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.stream_opened import StreamOpened


T = TypeVar("T", bound="StreamOpenEvent")


@_attrs_define
class StreamOpenEvent:
    app_id: str
    timestamp: datetime.datetime
    data: StreamOpened
    event: StreamOpenEventEvent
    room_id: str | Unset = UNSET
    """ A conference: its node, and a UUID in lower case. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        app_id = self.app_id

        timestamp = self.timestamp.isoformat()

        data = self.data.to_dict()

        event: str = self.event

        room_id = self.room_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "app_id": app_id,
                "timestamp": timestamp,
                "data": data,
                "event": event,
            }
        )
        if room_id is not UNSET:
            field_dict["room_id"] = room_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.stream_opened import StreamOpened

        d = dict(src_dict)
        app_id = d.pop("app_id")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        data = StreamOpened.from_dict(d.pop("data"))

        event = check_stream_open_event_event(d.pop("event"))

        room_id = d.pop("room_id", UNSET)

        stream_open_event = cls(
            app_id=app_id,
            timestamp=timestamp,
            data=data,
            event=event,
            room_id=room_id,
        )

        stream_open_event.additional_properties = d
        return stream_open_event

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
