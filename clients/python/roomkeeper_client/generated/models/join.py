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
    energy: int | Unset = UNSET
    """ The energy above which the member is heard; that of the conference profile if absent. 0 to 1800, unless
    another
    client of FreeSWITCH chose it. """
    labels: MemberSettingsLabels | Unset = UNSET
    """ The app's own texts by key: at most 16, with keys of 1 to 32 characters of `a-z 0-9 . _ -`, and values of at
    most
    128 characters. """
    role: MemberRole | Unset = UNSET
    """ The role of a member. """
    start_on_enter: bool | Unset = UNSET
    """ A conference that waits for a moderator starts with this member, or does not; if absent, its role decides.
    """
    volume_in: int | Unset = UNSET
    """ The volume of what the member says, -4 to 4; 0 if absent. """
    volume_out: int | Unset = UNSET
    """ The volume of what the member hears, -4 to 4; 0 if absent. """
    command_uid: None | str | Unset = UNSET
    muted: bool | None | Unset = UNSET
    """ `true`: the member joins muted, so the others do not hear it; `false`: it joins unmuted. If omitted, members
    of
    a conference created through this API join muted. """
    skip_pin: bool | None | Unset = UNSET
    """ `true`: the caller is not asked for the PIN of the conference, because the app knows it already. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        room_id = self.room_id

        end_on_exit = self.end_on_exit

        energy = self.energy

        labels: dict[str, Any] | Unset = UNSET
        if not isinstance(self.labels, Unset):
            labels = self.labels.to_dict()

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role

        start_on_enter = self.start_on_enter

        volume_in = self.volume_in

        volume_out = self.volume_out

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

        skip_pin: bool | None | Unset
        if isinstance(self.skip_pin, Unset):
            skip_pin = UNSET
        else:
            skip_pin = self.skip_pin

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "room_id": room_id,
            }
        )
        if end_on_exit is not UNSET:
            field_dict["end_on_exit"] = end_on_exit
        if energy is not UNSET:
            field_dict["energy"] = energy
        if labels is not UNSET:
            field_dict["labels"] = labels
        if role is not UNSET:
            field_dict["role"] = role
        if start_on_enter is not UNSET:
            field_dict["start_on_enter"] = start_on_enter
        if volume_in is not UNSET:
            field_dict["volume_in"] = volume_in
        if volume_out is not UNSET:
            field_dict["volume_out"] = volume_out
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if muted is not UNSET:
            field_dict["muted"] = muted
        if skip_pin is not UNSET:
            field_dict["skip_pin"] = skip_pin

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_settings_labels import MemberSettingsLabels

        d = dict(src_dict)
        room_id = d.pop("room_id")

        end_on_exit = d.pop("end_on_exit", UNSET)

        energy = d.pop("energy", UNSET)

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

        start_on_enter = d.pop("start_on_enter", UNSET)

        volume_in = d.pop("volume_in", UNSET)

        volume_out = d.pop("volume_out", UNSET)

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

        def _parse_skip_pin(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        skip_pin = _parse_skip_pin(d.pop("skip_pin", UNSET))

        join = cls(
            room_id=room_id,
            end_on_exit=end_on_exit,
            energy=energy,
            labels=labels,
            role=role,
            start_on_enter=start_on_enter,
            volume_in=volume_in,
            volume_out=volume_out,
            command_uid=command_uid,
            muted=muted,
            skip_pin=skip_pin,
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
