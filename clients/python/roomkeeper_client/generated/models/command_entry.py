from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="CommandEntry")


@_attrs_define
class CommandEntry:
    """A command: the last part of its path, and the fields of its body."""

    command: str
    """ With `session`: `join`, `leave`, `mute`, `unmute`, `answer`, `hangup`, `kick`, `deaf`, `undeaf`, `move`,
    `update`, `hold`, `unhold`, `play`, `say`, `stop`, `coach`, `uncoach`, `gather`, `gather/stop`, `dtmf`,
    `recording/start`, `recording/stop`, `recording/pause`, `recording/resume`. Without it: `lock`, `unlock`,
    `play`,
    `say`, `pause`, `stop`, `volume`, `update`, and the same commands of a recording. """
    session: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        command = self.command

        session: None | str | Unset
        if isinstance(self.session, Unset):
            session = UNSET
        else:
            session = self.session

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "command": command,
            }
        )
        if session is not UNSET:
            field_dict["session"] = session

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        command = d.pop("command")

        def _parse_session(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session = _parse_session(d.pop("session", UNSET))

        command_entry = cls(
            command=command,
            session=session,
        )

        command_entry.additional_properties = d
        return command_entry

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
