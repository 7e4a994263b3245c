from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.dial_out_status import DialOutStatus, check_dial_out_status
from ..types import UNSET, Unset

T = TypeVar("T", bound="DialOut")


@_attrs_define
class DialOut:
    """A dial-out in progress."""

    attempt: int
    """ The number of the attempt, from 1. """
    attempts: int
    """ The number of attempts that the request allows. """
    call_id: str
    """ A call: its node, and the UUID of its channel in lower case. """
    created_at: datetime.datetime
    muted: bool
    session_uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
    status: DialOutStatus
    """ The state of a dial-out. """
    to: str
    from_: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempt = self.attempt

        attempts = self.attempts

        call_id = self.call_id

        created_at = self.created_at.isoformat()

        muted = self.muted

        session_uuid = self.session_uuid

        status: str = self.status

        to = self.to

        from_: None | str | Unset
        if isinstance(self.from_, Unset):
            from_ = UNSET
        else:
            from_ = self.from_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempt": attempt,
                "attempts": attempts,
                "call_id": call_id,
                "created_at": created_at,
                "muted": muted,
                "session_uuid": session_uuid,
                "status": status,
                "to": to,
            }
        )
        if from_ is not UNSET:
            field_dict["from"] = from_

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attempt = d.pop("attempt")

        attempts = d.pop("attempts")

        call_id = d.pop("call_id")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        muted = d.pop("muted")

        session_uuid = d.pop("session_uuid")

        status = check_dial_out_status(d.pop("status"))

        to = d.pop("to")

        def _parse_from_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        from_ = _parse_from_(d.pop("from", UNSET))

        dial_out = cls(
            attempt=attempt,
            attempts=attempts,
            call_id=call_id,
            created_at=created_at,
            muted=muted,
            session_uuid=session_uuid,
            status=status,
            to=to,
            from_=from_,
        )

        dial_out.additional_properties = d
        return dial_out

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
