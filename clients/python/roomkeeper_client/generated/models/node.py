from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.node_state import NodeState, check_node_state

T = TypeVar("T", bound="Node")


@_attrs_define
class Node:
    calls: int
    draining: bool
    """ The node gets no new conferences. """
    drift: int
    """ The number of differences that snapshots have revealed. """
    id: str
    lag_ms: int | None
    """ Milliseconds from FreeSWITCH's latest events to their processing here. """
    max_calls: int
    """ The maximum number of calls; 0 if unknown. """
    resynced_at: datetime.datetime | None
    """ Time of the last comparison with a snapshot. """
    state: NodeState
    """ The state of the connection to a node. """
    synced: bool
    """ `true` once the node has been compared with a snapshot. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        calls = self.calls

        draining = self.draining

        drift = self.drift

        id = self.id

        lag_ms: int | None
        lag_ms = self.lag_ms

        max_calls = self.max_calls

        resynced_at: None | str
        if isinstance(self.resynced_at, datetime.datetime):
            resynced_at = self.resynced_at.isoformat()
        else:
            resynced_at = self.resynced_at

        state: str = self.state

        synced = self.synced

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "calls": calls,
                "draining": draining,
                "drift": drift,
                "id": id,
                "lag_ms": lag_ms,
                "max_calls": max_calls,
                "resynced_at": resynced_at,
                "state": state,
                "synced": synced,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        calls = d.pop("calls")

        draining = d.pop("draining")

        drift = d.pop("drift")

        id = d.pop("id")

        def _parse_lag_ms(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        lag_ms = _parse_lag_ms(d.pop("lag_ms"))

        max_calls = d.pop("max_calls")

        def _parse_resynced_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                resynced_at_type_0 = datetime.datetime.fromisoformat(data)

                return resynced_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        resynced_at = _parse_resynced_at(d.pop("resynced_at"))

        state = check_node_state(d.pop("state"))

        synced = d.pop("synced")

        node = cls(
            calls=calls,
            draining=draining,
            drift=drift,
            id=id,
            lag_ms=lag_ms,
            max_calls=max_calls,
            resynced_at=resynced_at,
            state=state,
            synced=synced,
        )

        node.additional_properties = d
        return node

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
