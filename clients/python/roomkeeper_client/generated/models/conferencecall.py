from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.conferencecall_status import (
    ConferencecallStatus,
    check_conferencecall_status,
)
from ..models.reference_type import ReferenceType, check_reference_type

T = TypeVar("T", bound="Conferencecall")


@_attrs_define
class Conferencecall:
    """A conferencecall: one membership of a call in a conference."""

    conference_id: UUID
    customer_id: UUID
    id: UUID
    reference_id: UUID
    reference_type: ReferenceType
    """ The kind of object that a conferencecall refers to. """
    status: ConferencecallStatus
    """ The status of a conferencecall. It never moves backward. """
    tm_create: str
    tm_delete: str
    tm_update: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        conference_id = str(self.conference_id)

        customer_id = str(self.customer_id)

        id = str(self.id)

        reference_id = str(self.reference_id)

        reference_type: str = self.reference_type

        status: str = self.status

        tm_create = self.tm_create

        tm_delete = self.tm_delete

        tm_update = self.tm_update

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "conference_id": conference_id,
                "customer_id": customer_id,
                "id": id,
                "reference_id": reference_id,
                "reference_type": reference_type,
                "status": status,
                "tm_create": tm_create,
                "tm_delete": tm_delete,
                "tm_update": tm_update,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        conference_id = UUID(d.pop("conference_id"))

        customer_id = UUID(d.pop("customer_id"))

        id = UUID(d.pop("id"))

        reference_id = UUID(d.pop("reference_id"))

        reference_type = check_reference_type(d.pop("reference_type"))

        status = check_conferencecall_status(d.pop("status"))

        tm_create = d.pop("tm_create")

        tm_delete = d.pop("tm_delete")

        tm_update = d.pop("tm_update")

        conferencecall = cls(
            conference_id=conference_id,
            customer_id=customer_id,
            id=id,
            reference_id=reference_id,
            reference_type=reference_type,
            status=status,
            tm_create=tm_create,
            tm_delete=tm_delete,
            tm_update=tm_update,
        )

        conferencecall.additional_properties = d
        return conferencecall

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
