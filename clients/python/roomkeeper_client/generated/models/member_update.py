from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_role import MemberRole, check_member_role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_update_labels_type_0 import MemberUpdateLabelsType0


T = TypeVar("T", bound="MemberUpdate")


@_attrs_define
class MemberUpdate:
    """Changed settings of a member. Omitted settings stay."""

    command_uid: None | str | Unset = UNSET
    end_on_exit: bool | None | Unset = UNSET
    """ `true`: the conference ends when this member leaves, other than by a move. """
    energy: int | None | Unset = UNSET
    """ The energy above which the member is heard; 0: always. """
    labels: MemberUpdateLabelsType0 | None | Unset = UNSET
    """ New values by key; `null` removes a label. Other labels stay. """
    role: MemberRole | None | Unset = UNSET
    start_on_enter: bool | None | Unset = UNSET
    """ `true`: a conference that waits for a moderator starts with this member. `false`: it does not, even with a
    moderator. If it was never set, the role decides. """
    volume_in: int | None | Unset = UNSET
    """ The volume of what the member says; 0: unchanged. """
    volume_out: int | None | Unset = UNSET
    """ The volume of what the member hears; 0: unchanged. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.member_update_labels_type_0 import MemberUpdateLabelsType0

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        end_on_exit: bool | None | Unset
        if isinstance(self.end_on_exit, Unset):
            end_on_exit = UNSET
        else:
            end_on_exit = self.end_on_exit

        energy: int | None | Unset
        if isinstance(self.energy, Unset):
            energy = UNSET
        else:
            energy = self.energy

        labels: dict[str, Any] | None | Unset
        if isinstance(self.labels, Unset):
            labels = UNSET
        elif isinstance(self.labels, MemberUpdateLabelsType0):
            labels = self.labels.to_dict()
        else:
            labels = self.labels

        role: None | str | Unset
        if isinstance(self.role, Unset):
            role = UNSET
        elif isinstance(self.role, str):
            role = self.role
        else:
            role = self.role

        start_on_enter: bool | None | Unset
        if isinstance(self.start_on_enter, Unset):
            start_on_enter = UNSET
        else:
            start_on_enter = self.start_on_enter

        volume_in: int | None | Unset
        if isinstance(self.volume_in, Unset):
            volume_in = UNSET
        else:
            volume_in = self.volume_in

        volume_out: int | None | Unset
        if isinstance(self.volume_out, Unset):
            volume_out = UNSET
        else:
            volume_out = self.volume_out

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
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

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_update_labels_type_0 import MemberUpdateLabelsType0

        d = dict(src_dict)

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        def _parse_end_on_exit(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        end_on_exit = _parse_end_on_exit(d.pop("end_on_exit", UNSET))

        def _parse_energy(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        energy = _parse_energy(d.pop("energy", UNSET))

        def _parse_labels(data: object) -> MemberUpdateLabelsType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                labels_type_0 = MemberUpdateLabelsType0.from_dict(data)

                return labels_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(MemberUpdateLabelsType0 | None | Unset, data)

        labels = _parse_labels(d.pop("labels", UNSET))

        def _parse_role(data: object) -> MemberRole | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                role_type_0 = check_member_role(data)

                return role_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(MemberRole | None | Unset, data)

        role = _parse_role(d.pop("role", UNSET))

        def _parse_start_on_enter(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        start_on_enter = _parse_start_on_enter(d.pop("start_on_enter", UNSET))

        def _parse_volume_in(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        volume_in = _parse_volume_in(d.pop("volume_in", UNSET))

        def _parse_volume_out(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        volume_out = _parse_volume_out(d.pop("volume_out", UNSET))

        member_update = cls(
            command_uid=command_uid,
            end_on_exit=end_on_exit,
            energy=energy,
            labels=labels,
            role=role,
            start_on_enter=start_on_enter,
            volume_in=volume_in,
            volume_out=volume_out,
        )

        member_update.additional_properties = d
        return member_update

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
