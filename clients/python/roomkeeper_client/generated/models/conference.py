from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.conference_status import ConferenceStatus, check_conference_status
from ..models.conference_type import ConferenceType, check_conference_type

if TYPE_CHECKING:
    from ..models.conference_data import ConferenceData
    from ..models.conference_post_actions_item import ConferencePostActionsItem
    from ..models.conference_pre_actions_item import ConferencePreActionsItem


T = TypeVar("T", bound="Conference")


@_attrs_define
class Conference:
    """A conference."""

    conferencecall_ids: list[UUID]
    customer_id: UUID
    data: ConferenceData
    detail: str
    id: UUID
    name: str
    post_actions: list[ConferencePostActionsItem]
    pre_actions: list[ConferencePreActionsItem]
    recording_id: UUID
    recording_ids: list[UUID]
    status: ConferenceStatus
    """ The status of a conference. It never moves backward. """
    timeout: int
    tm_create: str
    tm_delete: str
    tm_update: str
    type_: ConferenceType
    """ The type of a conference. `connect` has at most two members, and when one leaves, so does the other. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        conferencecall_ids = []
        for conferencecall_ids_item_data in self.conferencecall_ids:
            conferencecall_ids_item = str(conferencecall_ids_item_data)
            conferencecall_ids.append(conferencecall_ids_item)

        customer_id = str(self.customer_id)

        data = self.data.to_dict()

        detail = self.detail

        id = str(self.id)

        name = self.name

        post_actions = []
        for post_actions_item_data in self.post_actions:
            post_actions_item = post_actions_item_data.to_dict()
            post_actions.append(post_actions_item)

        pre_actions = []
        for pre_actions_item_data in self.pre_actions:
            pre_actions_item = pre_actions_item_data.to_dict()
            pre_actions.append(pre_actions_item)

        recording_id = str(self.recording_id)

        recording_ids = []
        for recording_ids_item_data in self.recording_ids:
            recording_ids_item = str(recording_ids_item_data)
            recording_ids.append(recording_ids_item)

        status: str = self.status

        timeout = self.timeout

        tm_create = self.tm_create

        tm_delete = self.tm_delete

        tm_update = self.tm_update

        type_: str = self.type_

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "conferencecall_ids": conferencecall_ids,
                "customer_id": customer_id,
                "data": data,
                "detail": detail,
                "id": id,
                "name": name,
                "post_actions": post_actions,
                "pre_actions": pre_actions,
                "recording_id": recording_id,
                "recording_ids": recording_ids,
                "status": status,
                "timeout": timeout,
                "tm_create": tm_create,
                "tm_delete": tm_delete,
                "tm_update": tm_update,
                "type": type_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.conference_data import ConferenceData
        from ..models.conference_post_actions_item import ConferencePostActionsItem
        from ..models.conference_pre_actions_item import ConferencePreActionsItem

        d = dict(src_dict)
        conferencecall_ids = []
        _conferencecall_ids = d.pop("conferencecall_ids")
        for conferencecall_ids_item_data in _conferencecall_ids:
            conferencecall_ids_item = UUID(conferencecall_ids_item_data)

            conferencecall_ids.append(conferencecall_ids_item)

        customer_id = UUID(d.pop("customer_id"))

        data = ConferenceData.from_dict(d.pop("data"))

        detail = d.pop("detail")

        id = UUID(d.pop("id"))

        name = d.pop("name")

        post_actions = []
        _post_actions = d.pop("post_actions")
        for post_actions_item_data in _post_actions:
            post_actions_item = ConferencePostActionsItem.from_dict(
                post_actions_item_data
            )

            post_actions.append(post_actions_item)

        pre_actions = []
        _pre_actions = d.pop("pre_actions")
        for pre_actions_item_data in _pre_actions:
            pre_actions_item = ConferencePreActionsItem.from_dict(pre_actions_item_data)

            pre_actions.append(pre_actions_item)

        recording_id = UUID(d.pop("recording_id"))

        recording_ids = []
        _recording_ids = d.pop("recording_ids")
        for recording_ids_item_data in _recording_ids:
            recording_ids_item = UUID(recording_ids_item_data)

            recording_ids.append(recording_ids_item)

        status = check_conference_status(d.pop("status"))

        timeout = d.pop("timeout")

        tm_create = d.pop("tm_create")

        tm_delete = d.pop("tm_delete")

        tm_update = d.pop("tm_update")

        type_ = check_conference_type(d.pop("type"))

        conference = cls(
            conferencecall_ids=conferencecall_ids,
            customer_id=customer_id,
            data=data,
            detail=detail,
            id=id,
            name=name,
            post_actions=post_actions,
            pre_actions=pre_actions,
            recording_id=recording_id,
            recording_ids=recording_ids,
            status=status,
            timeout=timeout,
            tm_create=tm_create,
            tm_delete=tm_delete,
            tm_update=tm_update,
            type_=type_,
        )

        conference.additional_properties = d
        return conference

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
