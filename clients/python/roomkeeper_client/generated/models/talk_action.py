from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.talk_option import TalkOption


T = TypeVar("T", bound="TalkAction")


@_attrs_define
class TalkAction:
    """Speaks a text. Refused if no node has the speech engine."""

    option: TalkOption
    """ The text to speak. `language`, `gender` and other options are stored but have no effect: the voice is
    configured. """
    type_: str
    id: None | Unset | UUID = UNSET
    """ The id by which other actions of the list refer to this one. """
    next_id: None | Unset | UUID = UNSET
    """ The id of the action to run next; if omitted or nil, the next one of the list. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        option = self.option.to_dict()

        type_ = self.type_

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        elif isinstance(self.id, UUID):
            id = str(self.id)
        else:
            id = self.id

        next_id: None | str | Unset
        if isinstance(self.next_id, Unset):
            next_id = UNSET
        elif isinstance(self.next_id, UUID):
            next_id = str(self.next_id)
        else:
            next_id = self.next_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "option": option,
                "type": type_,
            }
        )
        if id is not UNSET:
            field_dict["id"] = id
        if next_id is not UNSET:
            field_dict["next_id"] = next_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.talk_option import TalkOption

        d = dict(src_dict)
        option = TalkOption.from_dict(d.pop("option"))

        type_ = d.pop("type")

        def _parse_id(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                id_type_0 = UUID(data)

                return id_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_next_id(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                next_id_type_0 = UUID(data)

                return next_id_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        next_id = _parse_next_id(d.pop("next_id", UNSET))

        talk_action = cls(
            option=option,
            type_=type_,
            id=id,
            next_id=next_id,
        )

        talk_action.additional_properties = d
        return talk_action

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
