from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.room_updated_data import RoomUpdatedData
    from ..models.room_updated_post_actions_item import RoomUpdatedPostActionsItem
    from ..models.room_updated_pre_actions_item import RoomUpdatedPreActionsItem


T = TypeVar("T", bound="RoomUpdated")


@_attrs_define
class RoomUpdated:
    """The changed fields."""

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
        from ..models.room_updated_data import RoomUpdatedData
        from ..models.room_updated_post_actions_item import RoomUpdatedPostActionsItem
        from ..models.room_updated_pre_actions_item import RoomUpdatedPreActionsItem

        d = dict(src_dict)
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
