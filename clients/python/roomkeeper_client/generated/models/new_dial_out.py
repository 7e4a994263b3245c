from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.member_role import MemberRole, check_member_role
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.member_settings_labels import MemberSettingsLabels
    from ..models.new_dial_out_headers_type_0 import NewDialOutHeadersType0


T = TypeVar("T", bound="NewDialOut")


@_attrs_define
class NewDialOut:
    """A call to make."""

    to: str
    """ A number (`^\\+?[0-9*]{1,32}$`) or a SIP address such as `alice@example.com`. The operator's configuration
    must
    allow it. """
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
    caller_name: None | str | Unset = UNSET
    """ The caller's name that the callee sees: letters, digits, spaces and `-._`. """
    command_uid: None | str | Unset = UNSET
    from_: None | str | Unset = UNSET
    """ The caller's number that the callee sees. """
    headers: NewDialOutHeadersType0 | None | Unset = UNSET
    """ SIP headers of the call, 16 at most: their names begin with `X-`. """
    muted: bool | None | Unset = False
    """ The callee joins muted. """
    retries: int | None | Unset = 0
    """ Further attempts after a busy callee, no answer, or a temporary failure. """
    retry_pause: int | None | Unset = 10
    """ Seconds before each further attempt. """
    timeout: int | None | Unset = 60
    """ Seconds for an answer. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.new_dial_out_headers_type_0 import NewDialOutHeadersType0

        to = self.to

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

        caller_name: None | str | Unset
        if isinstance(self.caller_name, Unset):
            caller_name = UNSET
        else:
            caller_name = self.caller_name

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        from_: None | str | Unset
        if isinstance(self.from_, Unset):
            from_ = UNSET
        else:
            from_ = self.from_

        headers: dict[str, Any] | None | Unset
        if isinstance(self.headers, Unset):
            headers = UNSET
        elif isinstance(self.headers, NewDialOutHeadersType0):
            headers = self.headers.to_dict()
        else:
            headers = self.headers

        muted: bool | None | Unset
        if isinstance(self.muted, Unset):
            muted = UNSET
        else:
            muted = self.muted

        retries: int | None | Unset
        if isinstance(self.retries, Unset):
            retries = UNSET
        else:
            retries = self.retries

        retry_pause: int | None | Unset
        if isinstance(self.retry_pause, Unset):
            retry_pause = UNSET
        else:
            retry_pause = self.retry_pause

        timeout: int | None | Unset
        if isinstance(self.timeout, Unset):
            timeout = UNSET
        else:
            timeout = self.timeout

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "to": to,
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
        if caller_name is not UNSET:
            field_dict["caller_name"] = caller_name
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if from_ is not UNSET:
            field_dict["from"] = from_
        if headers is not UNSET:
            field_dict["headers"] = headers
        if muted is not UNSET:
            field_dict["muted"] = muted
        if retries is not UNSET:
            field_dict["retries"] = retries
        if retry_pause is not UNSET:
            field_dict["retry_pause"] = retry_pause
        if timeout is not UNSET:
            field_dict["timeout"] = timeout

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.member_settings_labels import MemberSettingsLabels
        from ..models.new_dial_out_headers_type_0 import NewDialOutHeadersType0

        d = dict(src_dict)
        to = d.pop("to")

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

        def _parse_caller_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        caller_name = _parse_caller_name(d.pop("caller_name", UNSET))

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        def _parse_from_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        from_ = _parse_from_(d.pop("from", UNSET))

        def _parse_headers(data: object) -> NewDialOutHeadersType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                headers_type_0 = NewDialOutHeadersType0.from_dict(data)

                return headers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NewDialOutHeadersType0 | None | Unset, data)

        headers = _parse_headers(d.pop("headers", UNSET))

        def _parse_muted(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        muted = _parse_muted(d.pop("muted", UNSET))

        def _parse_retries(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        retries = _parse_retries(d.pop("retries", UNSET))

        def _parse_retry_pause(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        retry_pause = _parse_retry_pause(d.pop("retry_pause", UNSET))

        def _parse_timeout(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        timeout = _parse_timeout(d.pop("timeout", UNSET))

        new_dial_out = cls(
            to=to,
            end_on_exit=end_on_exit,
            energy=energy,
            labels=labels,
            role=role,
            start_on_enter=start_on_enter,
            volume_in=volume_in,
            volume_out=volume_out,
            caller_name=caller_name,
            command_uid=command_uid,
            from_=from_,
            headers=headers,
            muted=muted,
            retries=retries,
            retry_pause=retry_pause,
            timeout=timeout,
        )

        new_dial_out.additional_properties = d
        return new_dial_out

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
