from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.webhook_disabled_reason import (
    WebhookDisabledReason,
    check_webhook_disabled_reason,
)

T = TypeVar("T", bound="WebhookDisabled")


@_attrs_define
class WebhookDisabled:
    """Another webhook endpoint of the app."""

    endpoint_id: str
    reason: WebhookDisabledReason
    url: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        endpoint_id = self.endpoint_id

        reason: str = self.reason

        url = self.url

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "endpoint_id": endpoint_id,
                "reason": reason,
                "url": url,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        endpoint_id = d.pop("endpoint_id")

        reason = check_webhook_disabled_reason(d.pop("reason"))

        url = d.pop("url")

        webhook_disabled = cls(
            endpoint_id=endpoint_id,
            reason=reason,
            url=url,
        )

        webhook_disabled.additional_properties = d
        return webhook_disabled

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
