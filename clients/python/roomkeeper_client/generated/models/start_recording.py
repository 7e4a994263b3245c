from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.announcement import Announcement


T = TypeVar("T", bound="StartRecording")


@_attrs_define
class StartRecording:
    """A request to record a conference."""

    announcement: Announcement | None | Unset = UNSET
    command_uid: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.announcement import Announcement

        announcement: dict[str, Any] | None | Unset
        if isinstance(self.announcement, Unset):
            announcement = UNSET
        elif isinstance(self.announcement, Announcement):
            announcement = self.announcement.to_dict()
        else:
            announcement = self.announcement

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if announcement is not UNSET:
            field_dict["announcement"] = announcement
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.announcement import Announcement

        d = dict(src_dict)

        def _parse_announcement(data: object) -> Announcement | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                announcement_type_0 = Announcement.from_dict(data)

                return announcement_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Announcement | None | Unset, data)

        announcement = _parse_announcement(d.pop("announcement", UNSET))

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        start_recording = cls(
            announcement=announcement,
            command_uid=command_uid,
        )

        start_recording.additional_properties = d
        return start_recording

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
