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
    from ..models.room_updated_data import RoomUpdatedData
    from ..models.room_updated_post_actions_item import RoomUpdatedPostActionsItem
    from ..models.room_updated_pre_actions_item import RoomUpdatedPreActionsItem
    from ..models.tones import Tones


T = TypeVar("T", bound="RoomUpdated")


@_attrs_define
class RoomUpdated:
    """The changed fields."""

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
    command_uid: str | Unset = UNSET
    """ An idempotency key, repeated in the webhook that the command leads to. Generated if omitted. A request with
    the same
    key for the same call or conference within 60 seconds of the response gets the same response, and the command is
    not
    executed again. If the rest of the body differs, the response is 409. """
    data: RoomUpdatedData | Unset = UNSET
    detail: str | Unset = UNSET
    locked: bool | Unset = UNSET
    name: str | Unset = UNSET
    post_actions: list[RoomUpdatedPostActionsItem] | Unset = UNSET
    pre_actions: list[RoomUpdatedPreActionsItem] | Unset = UNSET
    synthesized: bool | Unset = UNSET
    """ `true` if a snapshot revealed the change and no event reported it; omitted otherwise. """
    timeout: int | Unset = UNSET
    """ Seconds from the creation until the conference ends; 0: never. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement

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

        command_uid = self.command_uid

        data: dict[str, Any] | Unset = UNSET
        if not isinstance(self.data, Unset):
            data = self.data.to_dict()

        detail = self.detail

        locked = self.locked

        name = self.name

        post_actions: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.post_actions, Unset):
            post_actions = []
            for post_actions_item_data in self.post_actions:
                post_actions_item = post_actions_item_data.to_dict()
                post_actions.append(post_actions_item)

        pre_actions: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.pre_actions, Unset):
            pre_actions = []
            for pre_actions_item_data in self.pre_actions:
                pre_actions_item = pre_actions_item_data.to_dict()
                pre_actions.append(pre_actions_item)

        synthesized = self.synthesized

        timeout = self.timeout

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
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
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if data is not UNSET:
            field_dict["data"] = data
        if detail is not UNSET:
            field_dict["detail"] = detail
        if locked is not UNSET:
            field_dict["locked"] = locked
        if name is not UNSET:
            field_dict["name"] = name
        if post_actions is not UNSET:
            field_dict["post_actions"] = post_actions
        if pre_actions is not UNSET:
            field_dict["pre_actions"] = pre_actions
        if synthesized is not UNSET:
            field_dict["synthesized"] = synthesized
        if timeout is not UNSET:
            field_dict["timeout"] = timeout

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.announcement import Announcement
        from ..models.count_announcement import CountAnnouncement
        from ..models.room_settings_labels import RoomSettingsLabels
        from ..models.room_updated_data import RoomUpdatedData
        from ..models.room_updated_post_actions_item import RoomUpdatedPostActionsItem
        from ..models.room_updated_pre_actions_item import RoomUpdatedPreActionsItem
        from ..models.tones import Tones

        d = dict(src_dict)

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

        command_uid = d.pop("command_uid", UNSET)

        _data = d.pop("data", UNSET)
        data: RoomUpdatedData | Unset
        if isinstance(_data, Unset):
            data = UNSET
        else:
            data = RoomUpdatedData.from_dict(_data)

        detail = d.pop("detail", UNSET)

        locked = d.pop("locked", UNSET)

        name = d.pop("name", UNSET)

        _post_actions = d.pop("post_actions", UNSET)
        post_actions: list[RoomUpdatedPostActionsItem] | Unset = UNSET
        if _post_actions is not UNSET:
            post_actions = []
            for post_actions_item_data in _post_actions:
                post_actions_item = RoomUpdatedPostActionsItem.from_dict(
                    post_actions_item_data
                )

                post_actions.append(post_actions_item)

        _pre_actions = d.pop("pre_actions", UNSET)
        pre_actions: list[RoomUpdatedPreActionsItem] | Unset = UNSET
        if _pre_actions is not UNSET:
            pre_actions = []
            for pre_actions_item_data in _pre_actions:
                pre_actions_item = RoomUpdatedPreActionsItem.from_dict(
                    pre_actions_item_data
                )

                pre_actions.append(pre_actions_item)

        synthesized = d.pop("synthesized", UNSET)

        timeout = d.pop("timeout", UNSET)

        room_updated = cls(
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
            command_uid=command_uid,
            data=data,
            detail=detail,
            locked=locked,
            name=name,
            post_actions=post_actions,
            pre_actions=pre_actions,
            synthesized=synthesized,
            timeout=timeout,
        )

        room_updated.additional_properties = d
        return room_updated

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
