from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.transfer_end_reason import TransferEndReason, check_transfer_end_reason
from ..types import UNSET, Unset

T = TypeVar("T", bound="TransferEnded")


@_attrs_define
class TransferEnded:
    reason: TransferEndReason
    """ The reason why an answered transfer ended: the other side hung up, a caller ended it, or somebody else moved
    the call. """
    cause: str | Unset = UNSET
    """ FreeSWITCH's name of the hang-up cause of the other side; omitted if it is not known. """
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
        reason: str = self.reason

        cause = self.cause

        command_uid = self.command_uid

        context = self.context

        extension = self.extension

        synthesized = self.synthesized

        to = self.to

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "reason": reason,
            }
        )
        if cause is not UNSET:
            field_dict["cause"] = cause
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
        reason = check_transfer_end_reason(d.pop("reason"))

        cause = d.pop("cause", UNSET)

        command_uid = d.pop("command_uid", UNSET)

        context = d.pop("context", UNSET)

        extension = d.pop("extension", UNSET)

        synthesized = d.pop("synthesized", UNSET)

        to = d.pop("to", UNSET)

        transfer_ended = cls(
            reason=reason,
            cause=cause,
            command_uid=command_uid,
            context=context,
            extension=extension,
            synthesized=synthesized,
            to=to,
        )

        transfer_ended.additional_properties = d
        return transfer_ended

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
