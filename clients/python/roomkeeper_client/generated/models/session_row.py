from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.call_direction import CallDirection, check_call_direction
from ..models.call_state import CallState, check_call_state
from ..types import UNSET, Unset

T = TypeVar("T", bound="SessionRow")


@_attrs_define
class SessionRow:
    caller_id: str
    created_at: datetime.datetime
    did: str
    direction: CallDirection
    """ The direction of a call, as FreeSWITCH sees it. """
    node: str
    state: CallState
    """ The state of a call. """
    uuid: str
    """ A call: its node, and the UUID of its channel in lower case. """
    room_id: None | str | Unset = UNSET
    stale: bool | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        caller_id = self.caller_id

        created_at = self.created_at.isoformat()

        did = self.did

        direction: str = self.direction

        node = self.node

        state: str = self.state

        uuid = self.uuid

        room_id: None | str | Unset
        if isinstance(self.room_id, Unset):
            room_id = UNSET
        else:
            room_id = self.room_id

        stale = self.stale

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "caller_id": caller_id,
                "created_at": created_at,
                "did": did,
                "direction": direction,
                "node": node,
                "state": state,
                "uuid": uuid,
            }
        )
        if room_id is not UNSET:
            field_dict["room_id"] = room_id
        if stale is not UNSET:
            field_dict["stale"] = stale

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        caller_id = d.pop("caller_id")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        did = d.pop("did")

        direction = check_call_direction(d.pop("direction"))

        node = d.pop("node")

        state = check_call_state(d.pop("state"))

        uuid = d.pop("uuid")

        def _parse_room_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        room_id = _parse_room_id(d.pop("room_id", UNSET))

        stale = d.pop("stale", UNSET)

        session_row = cls(
            caller_id=caller_id,
            created_at=created_at,
            did=did,
            direction=direction,
            node=node,
            state=state,
            uuid=uuid,
            room_id=room_id,
            stale=stale,
        )

        session_row.additional_properties = d
        return session_row

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
