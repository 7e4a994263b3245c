from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="MemberRow")


@_attrs_define
class MemberRow:
    caller_id: str
    did: str
    muted: bool
    uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
    deaf: bool | Unset = UNSET
    """ The member does not hear the conference. Present only while this is `true`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        caller_id = self.caller_id

        did = self.did

        muted = self.muted

        uuid = self.uuid

        deaf = self.deaf

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "caller_id": caller_id,
                "did": did,
                "muted": muted,
                "uuid": uuid,
            }
        )
        if deaf is not UNSET:
            field_dict["deaf"] = deaf

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        caller_id = d.pop("caller_id")

        did = d.pop("did")

        muted = d.pop("muted")

        uuid = d.pop("uuid")

        deaf = d.pop("deaf", UNSET)

        member_row = cls(
            caller_id=caller_id,
            did=did,
            muted=muted,
            uuid=uuid,
            deaf=deaf,
        )

        member_row.additional_properties = d
        return member_row

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
