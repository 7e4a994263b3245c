from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.plain_option import PlainOption


T = TypeVar("T", bound="PlainAction")


@_attrs_define
class PlainAction:
    """A short tone, or the end of the call."""

    type_: str
    id: None | Unset | UUID = UNSET
    """ The id by which other actions of the list refer to this one. """
    next_id: None | Unset | UUID = UNSET
    """ The id of the action to run next; if omitted or nil, the next one of the list. """
    option: None | PlainOption | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.plain_option import PlainOption

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

        option: dict[str, Any] | None | Unset
        if isinstance(self.option, Unset):
            option = UNSET
        elif isinstance(self.option, PlainOption):
            option = self.option.to_dict()
        else:
            option = self.option

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
            }
        )
        if id is not UNSET:
            field_dict["id"] = id
        if next_id is not UNSET:
            field_dict["next_id"] = next_id
        if option is not UNSET:
            field_dict["option"] = option

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.plain_option import PlainOption

        d = dict(src_dict)
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

        def _parse_option(data: object) -> None | PlainOption | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                option_type_0 = PlainOption.from_dict(data)

                return option_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PlainOption | Unset, data)

        option = _parse_option(d.pop("option", UNSET))

        plain_action = cls(
            type_=type_,
            id=id,
            next_id=next_id,
            option=option,
        )

        plain_action.additional_properties = d
        return plain_action

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
