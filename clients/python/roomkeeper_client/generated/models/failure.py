from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.failure_detail_type_0 import FailureDetailType0


T = TypeVar("T", bound="Failure")


@_attrs_define
class Failure:
    """An error response."""

    error: str
    """ The error as text. """
    success: bool
    """ Always `false`. """
    detail: FailureDetailType0 | None | Unset = UNSET
    """ Machine-readable details: `field` names the invalid field of the request, `room_id` the existing conference,
    `session_node` and `room_node` the two nodes that differ. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.failure_detail_type_0 import FailureDetailType0

        error = self.error

        success = self.success

        detail: dict[str, Any] | None | Unset
        if isinstance(self.detail, Unset):
            detail = UNSET
        elif isinstance(self.detail, FailureDetailType0):
            detail = self.detail.to_dict()
        else:
            detail = self.detail

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "error": error,
                "success": success,
            }
        )
        if detail is not UNSET:
            field_dict["detail"] = detail

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.failure_detail_type_0 import FailureDetailType0

        d = dict(src_dict)
        error = d.pop("error")

        success = d.pop("success")

        def _parse_detail(data: object) -> FailureDetailType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                detail_type_0 = FailureDetailType0.from_dict(data)

                return detail_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FailureDetailType0 | None | Unset, data)

        detail = _parse_detail(d.pop("detail", UNSET))

        failure = cls(
            error=error,
            success=success,
            detail=detail,
        )

        failure.additional_properties = d
        return failure

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
