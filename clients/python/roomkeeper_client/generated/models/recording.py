from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.recording_format import RecordingFormat, check_recording_format
from ..models.voipbin_recording_status import (
    VoipbinRecordingStatus,
    check_voipbin_recording_status,
)

T = TypeVar("T", bound="Recording")


@_attrs_define
class Recording:
    """A recording."""

    conference_id: UUID
    customer_id: UUID
    duration: float
    """ Seconds; 0 until the recording has ended. """
    format_: RecordingFormat
    """ The format of a recording's file. """
    id: UUID
    path: str
    """ The file on the node. """
    status: VoipbinRecordingStatus
    """ The status of a recording. """
    tm_create: str
    tm_delete: str
    tm_end: str
    tm_start: str
    tm_update: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        conference_id = str(self.conference_id)

        customer_id = str(self.customer_id)

        duration = self.duration

        format_: str = self.format_

        id = str(self.id)

        path = self.path

        status: str = self.status

        tm_create = self.tm_create

        tm_delete = self.tm_delete

        tm_end = self.tm_end

        tm_start = self.tm_start

        tm_update = self.tm_update

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "conference_id": conference_id,
                "customer_id": customer_id,
                "duration": duration,
                "format": format_,
                "id": id,
                "path": path,
                "status": status,
                "tm_create": tm_create,
                "tm_delete": tm_delete,
                "tm_end": tm_end,
                "tm_start": tm_start,
                "tm_update": tm_update,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        conference_id = UUID(d.pop("conference_id"))

        customer_id = UUID(d.pop("customer_id"))

        duration = d.pop("duration")

        format_ = check_recording_format(d.pop("format"))

        id = UUID(d.pop("id"))

        path = d.pop("path")

        status = check_voipbin_recording_status(d.pop("status"))

        tm_create = d.pop("tm_create")

        tm_delete = d.pop("tm_delete")

        tm_end = d.pop("tm_end")

        tm_start = d.pop("tm_start")

        tm_update = d.pop("tm_update")

        recording = cls(
            conference_id=conference_id,
            customer_id=customer_id,
            duration=duration,
            format_=format_,
            id=id,
            path=path,
            status=status,
            tm_create=tm_create,
            tm_delete=tm_delete,
            tm_end=tm_end,
            tm_start=tm_start,
            tm_update=tm_update,
        )

        recording.additional_properties = d
        return recording

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
