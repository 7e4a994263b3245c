from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_role import MemberRole, check_member_role
from ..models.recording_status import RecordingStatus, check_recording_status
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_settings_labels import MemberSettingsLabels


T = TypeVar("T", bound="MemberRow")


@_attrs_define
class MemberRow:
    caller_id: str
    did: str
    joined_at: datetime.datetime
    """ The time of the request to join, or of the first event. """
    muted: bool
    uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
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
    coach: None | str | Unset = UNSET
    deaf: bool | Unset = UNSET
    """ The member does not hear the conference. Present only while this is `true`. """
    held: bool | Unset = UNSET
    """ The member is on hold. Present only while this is `true`. """
    recording_status: None | RecordingStatus | Unset = UNSET
    waiting: bool | Unset = UNSET
    """ The member waits for a moderator: it hears nobody, and nobody hears it. Present only while this is `true`.
    """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        caller_id = self.caller_id

        did = self.did

        joined_at = self.joined_at.isoformat()

        muted = self.muted

        uuid = self.uuid

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

        coach: None | str | Unset
        if isinstance(self.coach, Unset):
            coach = UNSET
        else:
            coach = self.coach

        deaf = self.deaf

        held = self.held

        recording_status: None | str | Unset
        if isinstance(self.recording_status, Unset):
            recording_status = UNSET
        elif isinstance(self.recording_status, str):
            recording_status = self.recording_status
        else:
            recording_status = self.recording_status

        waiting = self.waiting

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "caller_id": caller_id,
                "did": did,
                "joined_at": joined_at,
                "muted": muted,
                "uuid": uuid,
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
        if coach is not UNSET:
            field_dict["coach"] = coach
        if deaf is not UNSET:
            field_dict["deaf"] = deaf
        if held is not UNSET:
            field_dict["held"] = held
        if recording_status is not UNSET:
            field_dict["recording_status"] = recording_status
        if waiting is not UNSET:
            field_dict["waiting"] = waiting

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_settings_labels import MemberSettingsLabels

        d = dict(src_dict)
        caller_id = d.pop("caller_id")

        did = d.pop("did")

        joined_at = datetime.datetime.fromisoformat(d.pop("joined_at"))

        muted = d.pop("muted")

        uuid = d.pop("uuid")

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

        def _parse_coach(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        coach = _parse_coach(d.pop("coach", UNSET))

        deaf = d.pop("deaf", UNSET)

        held = d.pop("held", UNSET)

        def _parse_recording_status(data: object) -> None | RecordingStatus | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                recording_status_type_0 = check_recording_status(data)

                return recording_status_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RecordingStatus | Unset, data)

        recording_status = _parse_recording_status(d.pop("recording_status", UNSET))

        waiting = d.pop("waiting", UNSET)

        member_row = cls(
            caller_id=caller_id,
            did=did,
            joined_at=joined_at,
            muted=muted,
            uuid=uuid,
            end_on_exit=end_on_exit,
            energy=energy,
            labels=labels,
            role=role,
            start_on_enter=start_on_enter,
            volume_in=volume_in,
            volume_out=volume_out,
            coach=coach,
            deaf=deaf,
            held=held,
            recording_status=recording_status,
            waiting=waiting,
        )

        member_row.additional_properties = d
        return member_row

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
