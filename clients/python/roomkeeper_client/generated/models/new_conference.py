from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.announcement import Announcement
    from ..models.count_announcement import CountAnnouncement
    from ..models.room_settings_labels import RoomSettingsLabels
    from ..models.tones import Tones


T = TypeVar("T", bound="NewConference")


@_attrs_define
class NewConference:
    """A new conference."""

    name: str
    """ Unique among the app's open conferences. """
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
    node: None | str | Unset = UNSET
    """ The node of the conference; if omitted, the least loaded node that is up. """
    pin: None | str | Unset = UNSET
    """ The PIN that a caller enters before its call joins. No response and no webhook shows it. """
    session: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement

        name = self.name

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

        node: None | str | Unset
        if isinstance(self.node, Unset):
            node = UNSET
        else:
            node = self.node

        pin: None | str | Unset
        if isinstance(self.pin, Unset):
            pin = UNSET
        else:
            pin = self.pin

        session: None | str | Unset
        if isinstance(self.session, Unset):
            session = UNSET
        else:
            session = self.session

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
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
        if node is not UNSET:
            field_dict["node"] = node
        if pin is not UNSET:
            field_dict["pin"] = pin
        if session is not UNSET:
            field_dict["session"] = session

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement
        from ..models.room_settings_labels import RoomSettingsLabels
        from ..models.tones import Tones

        d = dict(src_dict)
        name = d.pop("name")

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

        def _parse_node(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        node = _parse_node(d.pop("node", UNSET))

        def _parse_pin(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pin = _parse_pin(d.pop("pin", UNSET))

        def _parse_session(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session = _parse_session(d.pop("session", UNSET))

        new_conference = cls(
            name=name,
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
            node=node,
            pin=pin,
            session=session,
        )

        new_conference.additional_properties = d
        return new_conference

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
