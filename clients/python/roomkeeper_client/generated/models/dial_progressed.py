from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="DialProgressed")


@_attrs_define
class DialProgressed:
    attempt: int
    """ The number of the attempt, from 1. """
    attempts: int
    """ The number of attempts that the request allows. """
    call_id: str
    """ A call: its node, and the UUID of its channel in lower case. """
    to: str
    """ The destination. """
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempt = self.attempt

        attempts = self.attempts

        call_id = self.call_id

        to = self.to

        command_uid = self.command_uid

        synthesized = self.synthesized

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempt": attempt,
                "attempts": attempts,
                "call_id": call_id,
                "to": to,
            }
        )
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attempt = d.pop("attempt")

        attempts = d.pop("attempts")

        call_id = d.pop("call_id")

        to = d.pop("to")

        command_uid = d.pop("command_uid", UNSET)

        synthesized = d.pop("synthesized", UNSET)

        dial_progressed = cls(
            attempt=attempt,
            attempts=attempts,
            call_id=call_id,
            to=to,
            command_uid=command_uid,
            synthesized=synthesized,
        )

        dial_progressed.additional_properties = d
        return dial_progressed

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
