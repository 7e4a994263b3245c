from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.call_transfer_ended_event_event import (
    CallTransferEndedEventEvent,
    check_call_transfer_ended_event_event,
)

if TYPE_CHECKING:
    from ..models.transfer_ended import TransferEnded


T = TypeVar("T", bound="CallTransferEndedEvent")


@_attrs_define
class CallTransferEndedEvent:
    app_id: str
    sequence: int
    """ Counts the events of the call from 1 without a gap. """
    session_uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
    timestamp: datetime.datetime
    data: TransferEnded
    event: CallTransferEndedEventEvent
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        app_id = self.app_id

        sequence = self.sequence

        session_uuid = self.session_uuid

        timestamp = self.timestamp.isoformat()

        data = self.data.to_dict()

        event: str = self.event

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "app_id": app_id,
                "sequence": sequence,
                "session_uuid": session_uuid,
                "timestamp": timestamp,
                "data": data,
                "event": event,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.transfer_ended import TransferEnded

        d = dict(src_dict)
        app_id = d.pop("app_id")

        sequence = d.pop("sequence")

        session_uuid = d.pop("session_uuid")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        data = TransferEnded.from_dict(d.pop("data"))

        event = check_call_transfer_ended_event_event(d.pop("event"))

        call_transfer_ended_event = cls(
            app_id=app_id,
            sequence=sequence,
            session_uuid=session_uuid,
            timestamp=timestamp,
            data=data,
            event=event,
        )

        call_transfer_ended_event.additional_properties = d
        return call_transfer_ended_event

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
