from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.recording_failure_reason import (
    RecordingFailureReason,
    check_recording_failure_reason,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="RecordingFailed")


@_attrs_define
class RecordingFailed:
    recording_id: UUID
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    reason: RecordingFailureReason | Unset = UNSET
    """ The reason why a recording did not begin: its announcement was not played to the end, or it was stopped
    before. """
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        recording_id = str(self.recording_id)

        command_uid = self.command_uid

        reason: str | Unset = UNSET
        if not isinstance(self.reason, Unset):
            reason = self.reason

        synthesized = self.synthesized

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "recording_id": recording_id,
            }
        )
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if reason is not UNSET:
            field_dict["reason"] = reason
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        recording_id = UUID(d.pop("recording_id"))

        command_uid = d.pop("command_uid", UNSET)

        _reason = d.pop("reason", UNSET)
        reason: RecordingFailureReason | Unset
        if isinstance(_reason, Unset):
            reason = UNSET
        else:
            reason = check_recording_failure_reason(_reason)

        synthesized = d.pop("synthesized", UNSET)

        recording_failed = cls(
            recording_id=recording_id,
            command_uid=command_uid,
            reason=reason,
            synthesized=synthesized,
        )

        recording_failed.additional_properties = d
        return recording_failed

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
