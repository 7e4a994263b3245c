from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_role import MemberRole, check_member_role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_settings_labels import MemberSettingsLabels


T = TypeVar("T", bound="Join")


@_attrs_define
class Join:
    """The conference to join."""

    room_id: str
    """ A conference: its node, and a UUID in lower case. """
    end_on_exit: bool | Unset = UNSET
    """ `true`: the conference ends when this member leaves, other than by a move. """
    labels: MemberSettingsLabels | Unset = UNSET
    """ The app's own texts by key: at most 16, with keys of 1 to 32 characters of `a-z 0-9 . _ -`, and values of at
    most
    128 characters. """
    role: MemberRole | Unset = UNSET
    """ The role of a member. """
    command_uid: None | str | Unset = UNSET
    muted: bool | None | Unset = UNSET
    """ `true`: the member joins muted, so the others do not hear it; `false`: it joins unmuted. If omitted, members
    of
    a conference created through this API join muted. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        room_id = self.room_id

        end_on_exit = self.end_on_exit

        labels: dict[str, Any] | Unset = UNSET
        if not isinstance(self.labels, Unset):
            labels = self.labels.to_dict()

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        muted: bool | None | Unset
        if isinstance(self.muted, Unset):
            muted = UNSET
        else:
            muted = self.muted

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "room_id": room_id,
            }
        )
        if end_on_exit is not UNSET:
            field_dict["end_on_exit"] = end_on_exit
        if labels is not UNSET:
            field_dict["labels"] = labels
        if role is not UNSET:
            field_dict["role"] = role
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if muted is not UNSET:
            field_dict["muted"] = muted

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_settings_labels import MemberSettingsLabels

        d = dict(src_dict)
        room_id = d.pop("room_id")

        end_on_exit = d.pop("end_on_exit", UNSET)

        _labels = d.pop("labels", UNSET)
        labels: MemberSettingsLabels | Unset
        if isinstance(_labels, Unset):
            labels = UNSET
        else:
            labels = MemberSettingsLabels.from_dict(_labels)

        _role = d.pop("role", UNSET)
        role: MemberRole | Unset
        if isinstance(_role, Unset):
            role = UNSET
        else:
            role = check_member_role(_role)

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        def _parse_muted(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        muted = _parse_muted(d.pop("muted", UNSET))

        join = cls(
            room_id=room_id,
            end_on_exit=end_on_exit,
            labels=labels,
            role=role,
            command_uid=command_uid,
            muted=muted,
        )

        join.additional_properties = d
        return join

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
