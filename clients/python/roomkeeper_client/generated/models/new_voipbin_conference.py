from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.conference_type import ConferenceType, check_conference_type
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.new_voipbin_conference_data_type_0 import (
        NewVoipbinConferenceDataType0,
    )
    from ..models.plain_action import PlainAction
    from ..models.play_action import PlayAction
    from ..models.sleep_action import SleepAction
    from ..models.talk_action import TalkAction


T = TypeVar("T", bound="NewVoipbinConference")


@_attrs_define
class NewVoipbinConference:
    """A new conference."""

    data: NewVoipbinConferenceDataType0 | None | Unset = UNSET
    """ Stored unchanged. """
    detail: None | str | Unset = UNSET
    name: None | str | Unset = UNSET
    node: None | str | Unset = UNSET
    """ The node of the conference; if omitted, the least loaded node that is up. """
    post_actions: (
        list[PlainAction | PlayAction | SleepAction | TalkAction] | None | Unset
    ) = UNSET
    """ Also accepted under its older name `post_action`. """
    pre_actions: (
        list[PlainAction | PlayAction | SleepAction | TalkAction] | None | Unset
    ) = UNSET
    session: None | str | Unset = UNSET
    timeout: int | None | Unset = UNSET
    """ Seconds from now until the conference ends; 0: never. """
    type_: ConferenceType | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.new_voipbin_conference_data_type_0 import (
            NewVoipbinConferenceDataType0,
        )
        from ..models.play_action import PlayAction
        from ..models.sleep_action import SleepAction
        from ..models.talk_action import TalkAction

        data: dict[str, Any] | None | Unset
        if isinstance(self.data, Unset):
            data = UNSET
        elif isinstance(self.data, NewVoipbinConferenceDataType0):
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

        node: None | str | Unset
        if isinstance(self.node, Unset):
            node = UNSET
        else:
            node = self.node

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

        session: None | str | Unset
        if isinstance(self.session, Unset):
            session = UNSET
        else:
            session = self.session

        timeout: int | None | Unset
        if isinstance(self.timeout, Unset):
            timeout = UNSET
        else:
            timeout = self.timeout

        type_: None | str | Unset
        if isinstance(self.type_, Unset):
            type_ = UNSET
        elif isinstance(self.type_, str):
            type_ = self.type_
        else:
            type_ = self.type_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if data is not UNSET:
            field_dict["data"] = data
        if detail is not UNSET:
            field_dict["detail"] = detail
        if name is not UNSET:
            field_dict["name"] = name
        if node is not UNSET:
            field_dict["node"] = node
        if post_actions is not UNSET:
            field_dict["post_actions"] = post_actions
        if pre_actions is not UNSET:
            field_dict["pre_actions"] = pre_actions
        if session is not UNSET:
            field_dict["session"] = session
        if timeout is not UNSET:
            field_dict["timeout"] = timeout
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.new_voipbin_conference_data_type_0 import (
            NewVoipbinConferenceDataType0,
        )
        from ..models.plain_action import PlainAction
        from ..models.play_action import PlayAction
        from ..models.sleep_action import SleepAction
        from ..models.talk_action import TalkAction

        d = dict(src_dict)

        def _parse_data(data: object) -> NewVoipbinConferenceDataType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                data_type_0 = NewVoipbinConferenceDataType0.from_dict(data)

                return data_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NewVoipbinConferenceDataType0 | None | Unset, data)

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

        def _parse_node(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        node = _parse_node(d.pop("node", UNSET))

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

        def _parse_session(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        session = _parse_session(d.pop("session", UNSET))

        def _parse_timeout(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        timeout = _parse_timeout(d.pop("timeout", UNSET))

        def _parse_type_(data: object) -> ConferenceType | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                type_type_0 = check_conference_type(data)

                return type_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ConferenceType | None | Unset, data)

        type_ = _parse_type_(d.pop("type", UNSET))

        new_voipbin_conference = cls(
            data=data,
            detail=detail,
            name=name,
            node=node,
            post_actions=post_actions,
            pre_actions=pre_actions,
            session=session,
            timeout=timeout,
            type_=type_,
        )

        new_voipbin_conference.additional_properties = d
        return new_voipbin_conference

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
