from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="RoomStarted")


@_attrs_define
class RoomStarted:
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    started_by: str | Unset = UNSET
    """ The session of the member with which the conference starts; omitted if `wait_for_moderator` was switched
    off. """
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        command_uid = self.command_uid

        started_by = self.started_by

        synthesized = self.synthesized

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if started_by is not UNSET:
            field_dict["started_by"] = started_by
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        command_uid = d.pop("command_uid", UNSET)

        started_by = d.pop("started_by", UNSET)

        synthesized = d.pop("synthesized", UNSET)

        room_started = cls(
            command_uid=command_uid,
            started_by=started_by,
            synthesized=synthesized,
        )

        room_started.additional_properties = d
        return room_started

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
