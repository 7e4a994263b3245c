from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_floor_event_event import (
    MemberFloorEventEvent,
    check_member_floor_event_event,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_floor import MemberFloor


T = TypeVar("T", bound="MemberFloorEvent")


@_attrs_define
class MemberFloorEvent:
    app_id: str
    room_id: str
    """ A conference: its node, and a UUID in lower case. """
    timestamp: datetime.datetime
    data: MemberFloor
    """ The member that has the floor; both `null` if no member has it. """
    event: MemberFloorEventEvent
    session_uuid: str | Unset = UNSET
    """ A call: its node, and the UUID of its channel in lower case. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        app_id = self.app_id

        room_id = self.room_id

        timestamp = self.timestamp.isoformat()

        data = self.data.to_dict()

        event: str = self.event

        session_uuid = self.session_uuid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "app_id": app_id,
                "room_id": room_id,
                "timestamp": timestamp,
                "data": data,
                "event": event,
            }
        )
        if session_uuid is not UNSET:
            field_dict["session_uuid"] = session_uuid

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_floor import MemberFloor

        d = dict(src_dict)
        app_id = d.pop("app_id")

        room_id = d.pop("room_id")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        data = MemberFloor.from_dict(d.pop("data"))

        event = check_member_floor_event_event(d.pop("event"))

        session_uuid = d.pop("session_uuid", UNSET)

        member_floor_event = cls(
            app_id=app_id,
            room_id=room_id,
            timestamp=timestamp,
            data=data,
            event=event,
            session_uuid=session_uuid,
        )

        member_floor_event.additional_properties = d
        return member_floor_event

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
