from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="WebhookSecret")


@_attrs_define
class WebhookSecret:
    id: str
    """ A webhook endpoint. """
    secret: str
    """ The signing secret: `whsec_` and base64. It is not shown again. """
    replaced_until: datetime.datetime | None | Unset = UNSET
    """ Time until which bodies are also signed with the previous secret. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        secret = self.secret

        replaced_until: None | str | Unset
        if isinstance(self.replaced_until, Unset):
            replaced_until = UNSET
        elif isinstance(self.replaced_until, datetime.datetime):
            replaced_until = self.replaced_until.isoformat()
        else:
            replaced_until = self.replaced_until

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "secret": secret,
            }
        )
        if replaced_until is not UNSET:
            field_dict["replaced_until"] = replaced_until

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id")

        secret = d.pop("secret")

        def _parse_replaced_until(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                replaced_until_type_0 = datetime.datetime.fromisoformat(data)

                return replaced_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        replaced_until = _parse_replaced_until(d.pop("replaced_until", UNSET))

        webhook_secret = cls(
            id=id,
            secret=secret,
            replaced_until=replaced_until,
        )

        webhook_secret.additional_properties = d
        return webhook_secret

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
