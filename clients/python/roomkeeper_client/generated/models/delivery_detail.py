from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.delivery_status import DeliveryStatus, check_delivery_status
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.delivery_attempt import DeliveryAttempt
    from ..models.delivery_detail_body import DeliveryDetailBody


T = TypeVar("T", bound="DeliveryDetail")


@_attrs_define
class DeliveryDetail:
    """A delivery with its body."""

    attempts: list[DeliveryAttempt]
    """ The last attempts, oldest first. """
    event: str
    id: str
    """ The `webhook-id` of an event. """
    sequence: int
    status: DeliveryStatus
    """ The state of a delivery. """
    body: DeliveryDetailBody
    """ The signed body. """
    created_at: datetime.datetime | None | Unset = UNSET
    """ Time at which the delivery was queued. """
    room_id: None | str | Unset = UNSET
    session_uuid: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempts = []
        for attempts_item_data in self.attempts:
            attempts_item = attempts_item_data.to_dict()
            attempts.append(attempts_item)

        event = self.event

        id = self.id

        sequence = self.sequence

        status: str = self.status

        body = self.body.to_dict()

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        elif isinstance(self.created_at, datetime.datetime):
            created_at = self.created_at.isoformat()
        else:
            created_at = self.created_at

        room_id: None | str | Unset
        if isinstance(self.room_id, Unset):
            room_id = UNSET
        else:
            room_id = self.room_id

        session_uuid: None | str | Unset
        if isinstance(self.session_uuid, Unset):
            session_uuid = UNSET
        else:
            session_uuid = self.session_uuid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempts": attempts,
                "event": event,
                "id": id,
                "sequence": sequence,
                "status": status,
                "body": body,
            }
        )
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if room_id is not UNSET:
            field_dict["room_id"] = room_id
        if session_uuid is not UNSET:
            field_dict["session_uuid"] = session_uuid

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.delivery_attempt import DeliveryAttempt
        from ..models.delivery_detail_body import DeliveryDetailBody

        d = dict(src_dict)
        attempts = []
        _attempts = d.pop("attempts")
        for attempts_item_data in _attempts:
            attempts_item = DeliveryAttempt.from_dict(attempts_item_data)

            attempts.append(attempts_item)

        event = d.pop("event")

        id = d.pop("id")

        sequence = d.pop("sequence")

        status = check_delivery_status(d.pop("status"))

        body = DeliveryDetailBody.from_dict(d.pop("body"))

        def _parse_created_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                created_at_type_0 = datetime.datetime.fromisoformat(data)

                return created_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        created_at = _parse_created_at(d.pop("created_at", UNSET))

        def _parse_room_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        room_id = _parse_room_id(d.pop("room_id", UNSET))

        def _parse_session_uuid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session_uuid = _parse_session_uuid(d.pop("session_uuid", UNSET))

        delivery_detail = cls(
            attempts=attempts,
            event=event,
            id=id,
            sequence=sequence,
            status=status,
            body=body,
            created_at=created_at,
            room_id=room_id,
            session_uuid=session_uuid,
        )

        delivery_detail.additional_properties = d
        return delivery_detail

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
