from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Transferred")


@_attrs_define
class Transferred:
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    context: str | Unset = UNSET
    extension: str | Unset = UNSET
    """ The extension, with its `context`; omitted for a number or SIP address. """
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    to: str | Unset = UNSET
    """ The number or SIP address of the other side; omitted for an extension. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        command_uid = self.command_uid

        context = self.context

        extension = self.extension

        synthesized = self.synthesized

        to = self.to

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if context is not UNSET:
            field_dict["context"] = context
        if extension is not UNSET:
            field_dict["extension"] = extension
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized
        if to is not UNSET:
            field_dict["to"] = to

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        command_uid = d.pop("command_uid", UNSET)

        context = d.pop("context", UNSET)

        extension = d.pop("extension", UNSET)

        synthesized = d.pop("synthesized", UNSET)

        to = d.pop("to", UNSET)

        transferred = cls(
            command_uid=command_uid,
            context=context,
            extension=extension,
            synthesized=synthesized,
            to=to,
        )

        transferred.additional_properties = d
        return transferred

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
