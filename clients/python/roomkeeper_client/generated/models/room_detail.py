from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.playback_status import PlaybackStatus, check_playback_status
from ..models.recording_status import RecordingStatus, check_recording_status
from ..types import UNSET, Unset

T = TypeVar("T", bound="RoomDetail")


@_attrs_define
class RoomDetail:
    created_at: str
    members: int
    name: str
    playback_operation_id: str
    playback_status: PlaybackStatus
    """ The state of playback. """
    playback_urls: list[str]
    playback_volume: int
    room_id: str
    """ A conference: its node, and a UUID in lower case. """
    locked: bool | Unset = UNSET
    """ Present only while the conference is locked. """
    recording_status: None | RecordingStatus | Unset = UNSET
    stale: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at

        members = self.members

        name = self.name

        playback_operation_id = self.playback_operation_id

        playback_status: str = self.playback_status

        playback_urls = self.playback_urls

        playback_volume = self.playback_volume

        room_id = self.room_id

        locked = self.locked

        recording_status: None | str | Unset
        if isinstance(self.recording_status, Unset):
            recording_status = UNSET
        elif isinstance(self.recording_status, str):
            recording_status = self.recording_status
        else:
            recording_status = self.recording_status

        stale = self.stale

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "created_at": created_at,
                "members": members,
                "name": name,
                "playback_operation_id": playback_operation_id,
                "playback_status": playback_status,
                "playback_urls": playback_urls,
                "playback_volume": playback_volume,
                "room_id": room_id,
            }
        )
        if locked is not UNSET:
            field_dict["locked"] = locked
        if recording_status is not UNSET:
            field_dict["recording_status"] = recording_status
        if stale is not UNSET:
            field_dict["stale"] = stale

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        created_at = d.pop("created_at")

        members = d.pop("members")

        name = d.pop("name")

        playback_operation_id = d.pop("playback_operation_id")

        playback_status = check_playback_status(d.pop("playback_status"))

        playback_urls = cast(list[str], d.pop("playback_urls"))

        playback_volume = d.pop("playback_volume")

        room_id = d.pop("room_id")

        locked = d.pop("locked", UNSET)

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

        stale = d.pop("stale", UNSET)

        room_detail = cls(
            created_at=created_at,
            members=members,
            name=name,
            playback_operation_id=playback_operation_id,
            playback_status=playback_status,
            playback_urls=playback_urls,
            playback_volume=playback_volume,
            room_id=room_id,
            locked=locked,
            recording_status=recording_status,
            stale=stale,
        )

        room_detail.additional_properties = d
        return room_detail

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
