from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="BulkCommand")


@_attrs_define
class BulkCommand:
    """The members that a command leaves out."""

    command_uid: None | str | Unset = UNSET
    except_: list[str] | None | Unset = UNSET
    """ The members that are left out. """
    except_moderators: bool | None | Unset = UNSET
    """ `true`: members with the role `moderator` are left out, too. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        except_: list[str] | None | Unset
        if isinstance(self.except_, Unset):
            except_ = UNSET
        elif isinstance(self.except_, list):
            except_ = self.except_

        else:
            except_ = self.except_

        except_moderators: bool | None | Unset
        if isinstance(self.except_moderators, Unset):
            except_moderators = UNSET
        else:
            except_moderators = self.except_moderators

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if except_ is not UNSET:
            field_dict["except"] = except_
        if except_moderators is not UNSET:
            field_dict["except_moderators"] = except_moderators

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        def _parse_except_(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                except_type_0 = cast(list[str], data)

                return except_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        except_ = _parse_except_(d.pop("except", UNSET))

        def _parse_except_moderators(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        except_moderators = _parse_except_moderators(d.pop("except_moderators", UNSET))

        bulk_command = cls(
            command_uid=command_uid,
            except_=except_,
            except_moderators=except_moderators,
        )

        bulk_command.additional_properties = d
        return bulk_command

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
