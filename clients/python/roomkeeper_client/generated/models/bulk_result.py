from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.bulk_failure import BulkFailure


T = TypeVar("T", bound="BulkResult")


@_attrs_define
class BulkResult:
    """The results of a command to many members."""

    accepted: int
    """ The members for which FreeSWITCH accepted the command; a webhook confirms each. """
    failed: list[BulkFailure]
    unchanged: int
    """ The members that had the wanted state. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        accepted = self.accepted

        failed = []
        for failed_item_data in self.failed:
            failed_item = failed_item_data.to_dict()
            failed.append(failed_item)

        unchanged = self.unchanged

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "accepted": accepted,
                "failed": failed,
                "unchanged": unchanged,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.bulk_failure import BulkFailure

        d = dict(src_dict)
        accepted = d.pop("accepted")

        failed = []
        _failed = d.pop("failed")
        for failed_item_data in _failed:
            failed_item = BulkFailure.from_dict(failed_item_data)

            failed.append(failed_item)

        unchanged = d.pop("unchanged")

        bulk_result = cls(
            accepted=accepted,
            failed=failed,
            unchanged=unchanged,
        )

        bulk_result.additional_properties = d
        return bulk_result

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
