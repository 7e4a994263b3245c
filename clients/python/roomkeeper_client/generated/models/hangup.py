from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.hangup_cause_type_1 import HangupCauseType1, check_hangup_cause_type_1
from ..models.hangup_cause_type_2_type_1 import (
    HangupCauseType2Type1,
    check_hangup_cause_type_2_type_1,
)
from ..models.hangup_cause_type_3_type_1 import (
    HangupCauseType3Type1,
    check_hangup_cause_type_3_type_1,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="Hangup")


@_attrs_define
class Hangup:
    """How to end a call."""

    cause: (
        HangupCauseType1 | HangupCauseType2Type1 | HangupCauseType3Type1 | None | Unset
    ) = UNSET
    """ FreeSWITCH's name of the hang-up cause; `NORMAL_CLEARING` if omitted. """
    command_uid: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        cause: None | str | Unset
        if isinstance(self.cause, Unset):
            cause = UNSET
        elif (
            isinstance(self.cause, str)
            or isinstance(self.cause, str)
            or isinstance(self.cause, str)
        ):
            cause = self.cause
        else:
            cause = self.cause

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if cause is not UNSET:
            field_dict["cause"] = cause
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_cause(
            data: object,
        ) -> (
            HangupCauseType1
            | HangupCauseType2Type1
            | HangupCauseType3Type1
            | None
            | Unset
        ):
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                cause_type_1 = check_hangup_cause_type_1(data)

                return cause_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, str):
                    raise TypeError()
                cause_type_2_type_1 = check_hangup_cause_type_2_type_1(data)

                return cause_type_2_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, str):
                    raise TypeError()
                cause_type_3_type_1 = check_hangup_cause_type_3_type_1(data)

                return cause_type_3_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                HangupCauseType1
                | HangupCauseType2Type1
                | HangupCauseType3Type1
                | None
                | Unset,
                data,
            )

        cause = _parse_cause(d.pop("cause", UNSET))

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        hangup = cls(
            cause=cause,
            command_uid=command_uid,
        )

        hangup.additional_properties = d
        return hangup

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
