from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.announcement import Announcement
    from ..models.count_announcement import CountAnnouncement
    from ..models.room_update_labels_type_0 import RoomUpdateLabelsType0
    from ..models.tones import Tones


T = TypeVar("T", bound="RoomUpdate")


@_attrs_define
class RoomUpdate:
    """Changed settings of a conference. Omitted settings stay."""

    alone_url: bool | None | str | Unset = UNSET
    announce_count: bool | CountAnnouncement | None | Unset = UNSET
    announce_recording: Announcement | bool | None | Unset = UNSET
    command_uid: None | str | Unset = UNSET
    end_when_silent_for: int | None | Unset = UNSET
    """ The conference ends when it has members and none has talked for this number of seconds, at least 5; 0:
    never. """
    labels: None | RoomUpdateLabelsType0 | Unset = UNSET
    """ New values by key; `null` removes a label. Other labels stay. """
    max_duration: int | None | Unset = UNSET
    """ Seconds from the creation until the conference ends; 0: never. """
    max_members: int | None | Unset = UNSET
    """ The most members, 2 to 10,000, joining ones included; 0: no limit. A lower limit removes nobody. """
    pin: bool | None | str | Unset = UNSET
    pin_prompt_text: bool | None | str | Unset = UNSET
    pin_prompt_url: bool | None | str | Unset = UNSET
    pin_tries: int | None | Unset = UNSET
    """ The attempts of a caller, 1 to 10; 0: 3. """
    tones: bool | None | Tones | Unset = UNSET
    wait_for_moderator: bool | None | Unset = UNSET
    """ `true`: members wait until a moderator enters. In a conference that has members, it holds from the next time
    that
    all have left. `false` starts a waiting conference. """
    wait_url: bool | None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement
        from ..models.room_update_labels_type_0 import RoomUpdateLabelsType0
        from ..models.tones import Tones

        alone_url: bool | None | str | Unset
        if isinstance(self.alone_url, Unset):
            alone_url = UNSET
        else:
            alone_url = self.alone_url

        announce_count: bool | dict[str, Any] | None | Unset
        if isinstance(self.announce_count, Unset):
            announce_count = UNSET
        elif isinstance(self.announce_count, CountAnnouncement):
            announce_count = self.announce_count.to_dict()
        else:
            announce_count = self.announce_count

        announce_recording: bool | dict[str, Any] | None | Unset
        if isinstance(self.announce_recording, Unset):
            announce_recording = UNSET
        elif isinstance(self.announce_recording, Announcement):
            announce_recording = self.announce_recording.to_dict()
        else:
            announce_recording = self.announce_recording

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        end_when_silent_for: int | None | Unset
        if isinstance(self.end_when_silent_for, Unset):
            end_when_silent_for = UNSET
        else:
            end_when_silent_for = self.end_when_silent_for

        labels: dict[str, Any] | None | Unset
        if isinstance(self.labels, Unset):
            labels = UNSET
        elif isinstance(self.labels, RoomUpdateLabelsType0):
            labels = self.labels.to_dict()
        else:
            labels = self.labels

        max_duration: int | None | Unset
        if isinstance(self.max_duration, Unset):
            max_duration = UNSET
        else:
            max_duration = self.max_duration

        max_members: int | None | Unset
        if isinstance(self.max_members, Unset):
            max_members = UNSET
        else:
            max_members = self.max_members

        pin: bool | None | str | Unset
        if isinstance(self.pin, Unset):
            pin = UNSET
        else:
            pin = self.pin

        pin_prompt_text: bool | None | str | Unset
        if isinstance(self.pin_prompt_text, Unset):
            pin_prompt_text = UNSET
        else:
            pin_prompt_text = self.pin_prompt_text

        pin_prompt_url: bool | None | str | Unset
        if isinstance(self.pin_prompt_url, Unset):
            pin_prompt_url = UNSET
        else:
            pin_prompt_url = self.pin_prompt_url

        pin_tries: int | None | Unset
        if isinstance(self.pin_tries, Unset):
            pin_tries = UNSET
        else:
            pin_tries = self.pin_tries

        tones: bool | dict[str, Any] | None | Unset
        if isinstance(self.tones, Unset):
            tones = UNSET
        elif isinstance(self.tones, Tones):
            tones = self.tones.to_dict()
        else:
            tones = self.tones

        wait_for_moderator: bool | None | Unset
        if isinstance(self.wait_for_moderator, Unset):
            wait_for_moderator = UNSET
        else:
            wait_for_moderator = self.wait_for_moderator

        wait_url: bool | None | str | Unset
        if isinstance(self.wait_url, Unset):
            wait_url = UNSET
        else:
            wait_url = self.wait_url

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if alone_url is not UNSET:
            field_dict["alone_url"] = alone_url
        if announce_count is not UNSET:
            field_dict["announce_count"] = announce_count
        if announce_recording is not UNSET:
            field_dict["announce_recording"] = announce_recording
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if end_when_silent_for is not UNSET:
            field_dict["end_when_silent_for"] = end_when_silent_for
        if labels is not UNSET:
            field_dict["labels"] = labels
        if max_duration is not UNSET:
            field_dict["max_duration"] = max_duration
        if max_members is not UNSET:
            field_dict["max_members"] = max_members
        if pin is not UNSET:
            field_dict["pin"] = pin
        if pin_prompt_text is not UNSET:
            field_dict["pin_prompt_text"] = pin_prompt_text
        if pin_prompt_url is not UNSET:
            field_dict["pin_prompt_url"] = pin_prompt_url
        if pin_tries is not UNSET:
            field_dict["pin_tries"] = pin_tries
        if tones is not UNSET:
            field_dict["tones"] = tones
        if wait_for_moderator is not UNSET:
            field_dict["wait_for_moderator"] = wait_for_moderator
        if wait_url is not UNSET:
            field_dict["wait_url"] = wait_url

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement
        from ..models.room_update_labels_type_0 import RoomUpdateLabelsType0
        from ..models.tones import Tones

        d = dict(src_dict)

        def _parse_alone_url(data: object) -> bool | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | str | Unset, data)

        alone_url = _parse_alone_url(d.pop("alone_url", UNSET))

        def _parse_announce_count(
            data: object,
        ) -> bool | CountAnnouncement | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_count_announcement_or_false_type_0 = (
                    CountAnnouncement.from_dict(data)
                )

                return componentsschemas_count_announcement_or_false_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(bool | CountAnnouncement | None | Unset, data)

        announce_count = _parse_announce_count(d.pop("announce_count", UNSET))

        def _parse_announce_recording(
            data: object,
        ) -> Announcement | bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_announcement_or_false_type_0 = Announcement.from_dict(
                    data
                )

                return componentsschemas_announcement_or_false_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Announcement | bool | None | Unset, data)

        announce_recording = _parse_announce_recording(
            d.pop("announce_recording", UNSET)
        )

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        def _parse_end_when_silent_for(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        end_when_silent_for = _parse_end_when_silent_for(
            d.pop("end_when_silent_for", UNSET)
        )

        def _parse_labels(data: object) -> None | RoomUpdateLabelsType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                labels_type_0 = RoomUpdateLabelsType0.from_dict(data)

                return labels_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RoomUpdateLabelsType0 | Unset, data)

        labels = _parse_labels(d.pop("labels", UNSET))

        def _parse_max_duration(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_duration = _parse_max_duration(d.pop("max_duration", UNSET))

        def _parse_max_members(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_members = _parse_max_members(d.pop("max_members", UNSET))

        def _parse_pin(data: object) -> bool | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | str | Unset, data)

        pin = _parse_pin(d.pop("pin", UNSET))

        def _parse_pin_prompt_text(data: object) -> bool | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | str | Unset, data)

        pin_prompt_text = _parse_pin_prompt_text(d.pop("pin_prompt_text", UNSET))

        def _parse_pin_prompt_url(data: object) -> bool | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | str | Unset, data)

        pin_prompt_url = _parse_pin_prompt_url(d.pop("pin_prompt_url", UNSET))

        def _parse_pin_tries(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        pin_tries = _parse_pin_tries(d.pop("pin_tries", UNSET))

        def _parse_tones(data: object) -> bool | None | Tones | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_tones_or_false_type_0 = Tones.from_dict(data)

                return componentsschemas_tones_or_false_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(bool | None | Tones | Unset, data)

        tones = _parse_tones(d.pop("tones", UNSET))

        def _parse_wait_for_moderator(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        wait_for_moderator = _parse_wait_for_moderator(
            d.pop("wait_for_moderator", UNSET)
        )

        def _parse_wait_url(data: object) -> bool | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | str | Unset, data)

        wait_url = _parse_wait_url(d.pop("wait_url", UNSET))

        room_update = cls(
            alone_url=alone_url,
            announce_count=announce_count,
            announce_recording=announce_recording,
            command_uid=command_uid,
            end_when_silent_for=end_when_silent_for,
            labels=labels,
            max_duration=max_duration,
            max_members=max_members,
            pin=pin,
            pin_prompt_text=pin_prompt_text,
            pin_prompt_url=pin_prompt_url,
            pin_tries=pin_tries,
            tones=tones,
            wait_for_moderator=wait_for_moderator,
            wait_url=wait_url,
        )

        room_update.additional_properties = d
        return room_update

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
