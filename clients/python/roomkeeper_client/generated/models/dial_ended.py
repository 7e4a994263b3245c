from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="DialEnded")


@_attrs_define
class DialEnded:
    attempt: int
    """ The number of the attempt, from 1. """
    attempts: int
    """ The number of attempts that the request allows. """
    call_id: str
    """ A call: its node, and the UUID of its channel in lower case. """
    cause: str
    """ FreeSWITCH's name of the hang-up cause; `UNKNOWN` if nothing reported it. """
    to: str
    """ The destination. """
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    retry_at: datetime.datetime | Unset = UNSET
    """ The time of the next attempt; omitted if the dial-out is over. """
    sip_status: int | Unset = UNSET
    """ The status of the callee's last SIP response; omitted if there was none. """
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempt = self.attempt

        attempts = self.attempts

        call_id = self.call_id

        cause = self.cause

        to = self.to

        command_uid = self.command_uid

        retry_at: str | Unset = UNSET
        if not isinstance(self.retry_at, Unset):
            retry_at = self.retry_at.isoformat()

        sip_status = self.sip_status

        synthesized = self.synthesized

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempt": attempt,
                "attempts": attempts,
                "call_id": call_id,
                "cause": cause,
                "to": to,
            }
        )
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if retry_at is not UNSET:
            field_dict["retry_at"] = retry_at
        if sip_status is not UNSET:
            field_dict["sip_status"] = sip_status
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attempt = d.pop("attempt")

        attempts = d.pop("attempts")

        call_id = d.pop("call_id")

        cause = d.pop("cause")

        to = d.pop("to")

        command_uid = d.pop("command_uid", UNSET)

        _retry_at = d.pop("retry_at", UNSET)
        retry_at: datetime.datetime | Unset
        if isinstance(_retry_at, Unset):
            retry_at = UNSET
        else:
            retry_at = datetime.datetime.fromisoformat(_retry_at)

        sip_status = d.pop("sip_status", UNSET)

        synthesized = d.pop("synthesized", UNSET)

        dial_ended = cls(
            attempt=attempt,
            attempts=attempts,
            call_id=call_id,
            cause=cause,
            to=to,
            command_uid=command_uid,
            retry_at=retry_at,
            sip_status=sip_status,
            synthesized=synthesized,
        )

        dial_ended.additional_properties = d
        return dial_ended

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
