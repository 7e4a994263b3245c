from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.plain_action import PlainAction
    from ..models.play_action import PlayAction
    from ..models.sleep_action import SleepAction
    from ..models.talk_action import TalkAction
    from ..models.voipbin_update_data_type_0 import VoipbinUpdateDataType0


T = TypeVar("T", bound="VoipbinUpdate")


@_attrs_define
class VoipbinUpdate:
    """The changes of a conference. Omitted fields stay unchanged."""

    data: None | Unset | VoipbinUpdateDataType0 = UNSET
    """ Stored unchanged. """
    detail: None | str | Unset = UNSET
    name: None | str | Unset = UNSET
    post_actions: (
        list[PlainAction | PlayAction | SleepAction | TalkAction] | None | Unset
    ) = UNSET
    """ Also accepted under its older name `post_action`. """
    pre_actions: (
        list[PlainAction | PlayAction | SleepAction | TalkAction] | None | Unset
    ) = UNSET
    timeout: int | None | Unset = UNSET
    """ Seconds from the creation until the conference ends; 0: never. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.play_action import PlayAction
        from ..models.sleep_action import SleepAction
        from ..models.talk_action import TalkAction
        from ..models.voipbin_update_data_type_0 import VoipbinUpdateDataType0

        data: dict[str, Any] | None | Unset
        if isinstance(self.data, Unset):
            data = UNSET
        elif isinstance(self.data, VoipbinUpdateDataType0):
            data = self.data.to_dict()
        else:
            data = self.data

        detail: None | str | Unset
        if isinstance(self.detail, Unset):
            detail = UNSET
        else:
            detail = self.detail

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        post_actions: list[dict[str, Any]] | None | Unset
        if isinstance(self.post_actions, Unset):
            post_actions = UNSET
        elif isinstance(self.post_actions, list):
            post_actions = []
            for post_actions_type_0_item_data in self.post_actions:
                post_actions_type_0_item: dict[str, Any]
                if (
                    isinstance(post_actions_type_0_item_data, TalkAction)
                    or isinstance(post_actions_type_0_item_data, PlayAction)
                    or isinstance(post_actions_type_0_item_data, SleepAction)
                ):
                    post_actions_type_0_item = post_actions_type_0_item_data.to_dict()
                else:
                    post_actions_type_0_item = post_actions_type_0_item_data.to_dict()

                post_actions.append(post_actions_type_0_item)

        else:
            post_actions = self.post_actions

        pre_actions: list[dict[str, Any]] | None | Unset
        if isinstance(self.pre_actions, Unset):
            pre_actions = UNSET
        elif isinstance(self.pre_actions, list):
            pre_actions = []
            for pre_actions_type_0_item_data in self.pre_actions:
                pre_actions_type_0_item: dict[str, Any]
                if (
                    isinstance(pre_actions_type_0_item_data, TalkAction)
                    or isinstance(pre_actions_type_0_item_data, PlayAction)
                    or isinstance(pre_actions_type_0_item_data, SleepAction)
                ):
                    pre_actions_type_0_item = pre_actions_type_0_item_data.to_dict()
                else:
                    pre_actions_type_0_item = pre_actions_type_0_item_data.to_dict()

                pre_actions.append(pre_actions_type_0_item)

        else:
            pre_actions = self.pre_actions

        timeout: int | None | Unset
        if isinstance(self.timeout, Unset):
            timeout = UNSET
        else:
            timeout = self.timeout

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if data is not UNSET:
            field_dict["data"] = data
        if detail is not UNSET:
            field_dict["detail"] = detail
        if name is not UNSET:
            field_dict["name"] = name
        if post_actions is not UNSET:
            field_dict["post_actions"] = post_actions
        if pre_actions is not UNSET:
            field_dict["pre_actions"] = pre_actions
        if timeout is not UNSET:
            field_dict["timeout"] = timeout

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.plain_action import PlainAction
        from ..models.play_action import PlayAction
        from ..models.sleep_action import SleepAction
        from ..models.talk_action import TalkAction
        from ..models.voipbin_update_data_type_0 import VoipbinUpdateDataType0

        d = dict(src_dict)

        def _parse_data(data: object) -> None | Unset | VoipbinUpdateDataType0:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                data_type_0 = VoipbinUpdateDataType0.from_dict(data)

                return data_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | VoipbinUpdateDataType0, data)

        data = _parse_data(d.pop("data", UNSET))

        def _parse_detail(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        detail = _parse_detail(d.pop("detail", UNSET))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_post_actions(
            data: object,
        ) -> list[PlainAction | PlayAction | SleepAction | TalkAction] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                post_actions_type_0 = []
                _post_actions_type_0 = data
                for post_actions_type_0_item_data in _post_actions_type_0:

                    def _parse_post_actions_type_0_item(
                        data: object,
                    ) -> PlainAction | PlayAction | SleepAction | TalkAction:
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_voipbin_action_type_0 = (
                                TalkAction.from_dict(data)
                            )

                            return componentsschemas_voipbin_action_type_0
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_voipbin_action_type_1 = (
                                PlayAction.from_dict(data)
                            )

                            return componentsschemas_voipbin_action_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_voipbin_action_type_2 = (
                                SleepAction.from_dict(data)
                            )

                            return componentsschemas_voipbin_action_type_2
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        if not isinstance(data, dict):
                            raise TypeError()
                        componentsschemas_voipbin_action_type_3 = PlainAction.from_dict(
                            data
                        )

                        return componentsschemas_voipbin_action_type_3

                    post_actions_type_0_item = _parse_post_actions_type_0_item(
                        post_actions_type_0_item_data
                    )

                    post_actions_type_0.append(post_actions_type_0_item)

                return post_actions_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                list[PlainAction | PlayAction | SleepAction | TalkAction]
                | None
                | Unset,
                data,
            )

        post_actions = _parse_post_actions(d.pop("post_actions", UNSET))

        def _parse_pre_actions(
            data: object,
        ) -> list[PlainAction | PlayAction | SleepAction | TalkAction] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                pre_actions_type_0 = []
                _pre_actions_type_0 = data
                for pre_actions_type_0_item_data in _pre_actions_type_0:

                    def _parse_pre_actions_type_0_item(
                        data: object,
                    ) -> PlainAction | PlayAction | SleepAction | TalkAction:
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_voipbin_action_type_0 = (
                                TalkAction.from_dict(data)
                            )

                            return componentsschemas_voipbin_action_type_0
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_voipbin_action_type_1 = (
                                PlayAction.from_dict(data)
                            )

                            return componentsschemas_voipbin_action_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_voipbin_action_type_2 = (
                                SleepAction.from_dict(data)
                            )

                            return componentsschemas_voipbin_action_type_2
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        if not isinstance(data, dict):
                            raise TypeError()
                        componentsschemas_voipbin_action_type_3 = PlainAction.from_dict(
                            data
                        )

                        return componentsschemas_voipbin_action_type_3

                    pre_actions_type_0_item = _parse_pre_actions_type_0_item(
                        pre_actions_type_0_item_data
                    )

                    pre_actions_type_0.append(pre_actions_type_0_item)

                return pre_actions_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                list[PlainAction | PlayAction | SleepAction | TalkAction]
                | None
                | Unset,
                data,
            )

        pre_actions = _parse_pre_actions(d.pop("pre_actions", UNSET))

        def _parse_timeout(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        timeout = _parse_timeout(d.pop("timeout", UNSET))

        voipbin_update = cls(
            data=data,
            detail=detail,
            name=name,
            post_actions=post_actions,
            pre_actions=pre_actions,
            timeout=timeout,
        )

        voipbin_update.additional_properties = d
        return voipbin_update

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
