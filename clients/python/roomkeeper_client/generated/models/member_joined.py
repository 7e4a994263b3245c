from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_role import MemberRole, check_member_role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_settings_labels import MemberSettingsLabels


T = TypeVar("T", bound="MemberJoined")


@_attrs_define
class MemberJoined:
    caller_id: str
    """ The caller's number. """
    conferencecall_id: UUID
    """ The membership. """
    did: str
    """ The dialled number. """
    muted: bool
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
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    from_: str | Unset = UNSET
    """ The conference that the member moved from. """
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        caller_id = self.caller_id

        conferencecall_id = str(self.conferencecall_id)

        did = self.did

        muted = self.muted

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

        command_uid = self.command_uid

        from_ = self.from_

        synthesized = self.synthesized

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "caller_id": caller_id,
                "conferencecall_id": conferencecall_id,
                "did": did,
                "muted": muted,
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
        if from_ is not UNSET:
            field_dict["from"] = from_
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_settings_labels import MemberSettingsLabels

        d = dict(src_dict)
        caller_id = d.pop("caller_id")

        conferencecall_id = UUID(d.pop("conferencecall_id"))

        did = d.pop("did")

        muted = d.pop("muted")

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

        command_uid = d.pop("command_uid", UNSET)

        from_ = d.pop("from", UNSET)

        synthesized = d.pop("synthesized", UNSET)

        member_joined = cls(
            caller_id=caller_id,
            conferencecall_id=conferencecall_id,
            did=did,
            muted=muted,
            end_on_exit=end_on_exit,
            energy=energy,
            labels=labels,
            role=role,
            start_on_enter=start_on_enter,
            volume_in=volume_in,
            volume_out=volume_out,
            command_uid=command_uid,
            from_=from_,
            synthesized=synthesized,
        )

        member_joined.additional_properties = d
        return member_joined

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
