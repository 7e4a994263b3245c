from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.webhook_test_event_event import (
    WebhookTestEventEvent,
    check_webhook_test_event_event,
)

if TYPE_CHECKING:
    from ..models.webhook_tested import WebhookTested


T = TypeVar("T", bound="WebhookTestEvent")


@_attrs_define
class WebhookTestEvent:
    app_id: str
    sequence: int
    """ Always 0. """
    timestamp: datetime.datetime
    data: WebhookTested
    """ The endpoint that gets the event. """
    event: WebhookTestEventEvent
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        app_id = self.app_id

        sequence = self.sequence

        timestamp = self.timestamp.isoformat()

        data = self.data.to_dict()

        event: str = self.event

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "app_id": app_id,
                "sequence": sequence,
                "timestamp": timestamp,
                "data": data,
                "event": event,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.webhook_tested import WebhookTested

        d = dict(src_dict)
        app_id = d.pop("app_id")

        sequence = d.pop("sequence")

        timestamp = datetime.datetime.fromisoformat(d.pop("timestamp"))

        data = WebhookTested.from_dict(d.pop("data"))

        event = check_webhook_test_event_event(d.pop("event"))

        webhook_test_event = cls(
            app_id=app_id,
            sequence=sequence,
            timestamp=timestamp,
            data=data,
            event=event,
        )

        webhook_test_event.additional_properties = d
        return webhook_test_event

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
