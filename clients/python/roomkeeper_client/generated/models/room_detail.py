from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.playback_status import PlaybackStatus, check_playback_status
from ..models.recording_status import RecordingStatus, check_recording_status
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.announcement import Announcement
    from ..models.count_announcement import CountAnnouncement
    from ..models.room_settings_labels import RoomSettingsLabels
    from ..models.tones import Tones


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
    alone_url: None | str | Unset = UNSET
    """ The file that a lone member hears, again and again. """
    announce_count: CountAnnouncement | None | Unset = UNSET
    announce_recording: Announcement | None | Unset = UNSET
    end_when_silent_for: int | Unset = UNSET
    """ The conference ends when it has members and none has talked for this number of seconds; 0: never. """
    labels: RoomSettingsLabels | Unset = UNSET
    """ The app's own texts by key: at most 16, with keys of 1 to 32 characters of `a-z 0-9 . _ -`, and values of at
    most
    128 characters. """
    max_duration: int | Unset = UNSET
    """ Seconds from the creation until the conference ends; 0: never. """
    max_members: int | Unset = UNSET
    """ The most members, joining ones included; 0: no limit. A lower limit removes nobody. """
    pin_prompt_text: None | str | Unset = UNSET
    """ The text that asks for the PIN. """
    pin_prompt_url: None | str | Unset = UNSET
    """ The file that asks for the PIN. """
    pin_tries: int | Unset = UNSET
    """ The attempts of a caller; 0: 3. """
    tones: Tones | Unset = UNSET
    """ The files that all members hear when another one enters or leaves. """
    wait_for_moderator: bool | Unset = UNSET
    """ `true`: members wait until a moderator enters, or another member with `start_on_enter`. Until then none
    hears
    another. The wait begins again when all members have left. """
    wait_url: None | str | Unset = UNSET
    """ The file that each waiting member hears, again and again. """
    pin_required: bool | Unset = UNSET
    """ `true`: a caller enters a PIN before its call joins. """
    locked: bool | Unset = UNSET
    """ Present only while the conference is locked. """
    playback_text: None | str | Unset = UNSET
    """ The text of a `say`. Omitted while none is spoken. """
    recording_status: None | RecordingStatus | Unset = UNSET
    stale: bool | Unset = UNSET
    waiting: bool | Unset = UNSET
    """ Present only while the conference waits for a moderator. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement

        created_at = self.created_at

        members = self.members

        name = self.name

        playback_operation_id = self.playback_operation_id

        playback_status: str = self.playback_status

        playback_urls = self.playback_urls

        playback_volume = self.playback_volume

        room_id = self.room_id

        alone_url: None | str | Unset
        if isinstance(self.alone_url, Unset):
            alone_url = UNSET
        else:
            alone_url = self.alone_url

        announce_count: dict[str, Any] | None | Unset
        if isinstance(self.announce_count, Unset):
            announce_count = UNSET
        elif isinstance(self.announce_count, CountAnnouncement):
            announce_count = self.announce_count.to_dict()
        else:
            announce_count = self.announce_count

        announce_recording: dict[str, Any] | None | Unset
        if isinstance(self.announce_recording, Unset):
            announce_recording = UNSET
        elif isinstance(self.announce_recording, Announcement):
            announce_recording = self.announce_recording.to_dict()
        else:
            announce_recording = self.announce_recording

        end_when_silent_for = self.end_when_silent_for

        labels: dict[str, Any] | Unset = UNSET
        if not isinstance(self.labels, Unset):
            labels = self.labels.to_dict()

        max_duration = self.max_duration

        max_members = self.max_members

        pin_prompt_text: None | str | Unset
        if isinstance(self.pin_prompt_text, Unset):
            pin_prompt_text = UNSET
        else:
            pin_prompt_text = self.pin_prompt_text

        pin_prompt_url: None | str | Unset
        if isinstance(self.pin_prompt_url, Unset):
            pin_prompt_url = UNSET
        else:
            pin_prompt_url = self.pin_prompt_url

        pin_tries = self.pin_tries

        tones: dict[str, Any] | Unset = UNSET
        if not isinstance(self.tones, Unset):
            tones = self.tones.to_dict()

        wait_for_moderator = self.wait_for_moderator

        wait_url: None | str | Unset
        if isinstance(self.wait_url, Unset):
            wait_url = UNSET
        else:
            wait_url = self.wait_url

        pin_required = self.pin_required

        locked = self.locked

        playback_text: None | str | Unset
        if isinstance(self.playback_text, Unset):
            playback_text = UNSET
        else:
            playback_text = self.playback_text

        recording_status: None | str | Unset
        if isinstance(self.recording_status, Unset):
            recording_status = UNSET
        elif isinstance(self.recording_status, str):
            recording_status = self.recording_status
        else:
            recording_status = self.recording_status

        stale = self.stale

        waiting = self.waiting

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
        if alone_url is not UNSET:
            field_dict["alone_url"] = alone_url
        if announce_count is not UNSET:
            field_dict["announce_count"] = announce_count
        if announce_recording is not UNSET:
            field_dict["announce_recording"] = announce_recording
        if end_when_silent_for is not UNSET:
            field_dict["end_when_silent_for"] = end_when_silent_for
        if labels is not UNSET:
            field_dict["labels"] = labels
        if max_duration is not UNSET:
            field_dict["max_duration"] = max_duration
        if max_members is not UNSET:
            field_dict["max_members"] = max_members
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
        if pin_required is not UNSET:
            field_dict["pin_required"] = pin_required
        if locked is not UNSET:
            field_dict["locked"] = locked
        if playback_text is not UNSET:
            field_dict["playback_text"] = playback_text
        if recording_status is not UNSET:
            field_dict["recording_status"] = recording_status
        if stale is not UNSET:
            field_dict["stale"] = stale
        if waiting is not UNSET:
            field_dict["waiting"] = waiting

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement
        from ..models.room_settings_labels import RoomSettingsLabels
        from ..models.tones import Tones

        d = dict(src_dict)
        created_at = d.pop("created_at")

        members = d.pop("members")

        name = d.pop("name")

        playback_operation_id = d.pop("playback_operation_id")

        playback_status = check_playback_status(d.pop("playback_status"))

        playback_urls = cast(list[str], d.pop("playback_urls"))

        playback_volume = d.pop("playback_volume")

        room_id = d.pop("room_id")

        def _parse_alone_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        alone_url = _parse_alone_url(d.pop("alone_url", UNSET))

        def _parse_announce_count(data: object) -> CountAnnouncement | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                announce_count_type_0 = CountAnnouncement.from_dict(data)

                return announce_count_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CountAnnouncement | None | Unset, data)

        announce_count = _parse_announce_count(d.pop("announce_count", UNSET))

        def _parse_announce_recording(data: object) -> Announcement | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                announce_recording_type_0 = Announcement.from_dict(data)

                return announce_recording_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Announcement | None | Unset, data)

        announce_recording = _parse_announce_recording(
            d.pop("announce_recording", UNSET)
        )

        end_when_silent_for = d.pop("end_when_silent_for", UNSET)

        _labels = d.pop("labels", UNSET)
        labels: RoomSettingsLabels | Unset
        if isinstance(_labels, Unset):
            labels = UNSET
        else:
            labels = RoomSettingsLabels.from_dict(_labels)

        max_duration = d.pop("max_duration", UNSET)

        max_members = d.pop("max_members", UNSET)

        def _parse_pin_prompt_text(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pin_prompt_text = _parse_pin_prompt_text(d.pop("pin_prompt_text", UNSET))

        def _parse_pin_prompt_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pin_prompt_url = _parse_pin_prompt_url(d.pop("pin_prompt_url", UNSET))

        pin_tries = d.pop("pin_tries", UNSET)

        _tones = d.pop("tones", UNSET)
        tones: Tones | Unset
        if isinstance(_tones, Unset):
            tones = UNSET
        else:
            tones = Tones.from_dict(_tones)

        wait_for_moderator = d.pop("wait_for_moderator", UNSET)

        def _parse_wait_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        wait_url = _parse_wait_url(d.pop("wait_url", UNSET))

        pin_required = d.pop("pin_required", UNSET)

        locked = d.pop("locked", UNSET)

        def _parse_playback_text(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        playback_text = _parse_playback_text(d.pop("playback_text", UNSET))

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

        waiting = d.pop("waiting", UNSET)

        room_detail = cls(
            created_at=created_at,
            members=members,
            name=name,
            playback_operation_id=playback_operation_id,
            playback_status=playback_status,
            playback_urls=playback_urls,
            playback_volume=playback_volume,
            room_id=room_id,
            alone_url=alone_url,
            announce_count=announce_count,
            announce_recording=announce_recording,
            end_when_silent_for=end_when_silent_for,
            labels=labels,
            max_duration=max_duration,
            max_members=max_members,
            pin_prompt_text=pin_prompt_text,
            pin_prompt_url=pin_prompt_url,
            pin_tries=pin_tries,
            tones=tones,
            wait_for_moderator=wait_for_moderator,
            wait_url=wait_url,
            pin_required=pin_required,
            locked=locked,
            playback_text=playback_text,
            recording_status=recording_status,
            stale=stale,
            waiting=waiting,
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
