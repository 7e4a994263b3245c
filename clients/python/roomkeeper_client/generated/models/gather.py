from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Gather")


@_attrs_define
class Gather:
    """The digits to ask for."""

    max_digits: int
    """ The last of these digits ends the input. """
    command_uid: None | str | Unset = UNSET
    inter_digit_timeout_ms: int | None | Unset = UNSET
    """ The time for each further digit, in milliseconds; as long as `timeout_ms` if omitted. """
    min_digits: int | None | Unset = 1
    """ Fewer digits are no input. """
    prompt_text: None | str | Unset = UNSET
    """ The text that the caller hears first, instead of a file. A node needs a speech engine. """
    prompt_url: None | str | Unset = UNSET
    """ The file that the caller hears first: an http or https URL. The first digit interrupts it. """
    terminator: None | str | Unset = "#"
    """ The key that ends the input and is not part of it; an empty text for none. """
    timeout_ms: int | None | Unset = 5000
    """ The time for the first digit, after the prompt, in milliseconds. """
    tries: int | None | Unset = 1
    """ The number of attempts, each with the prompt. An attempt with fewer digits than `min_digits` is repeated.
    """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        max_digits = self.max_digits

        command_uid: None | str | Unset
        if isinstance(self.command_uid, Unset):
            command_uid = UNSET
        else:
            command_uid = self.command_uid

        inter_digit_timeout_ms: int | None | Unset
        if isinstance(self.inter_digit_timeout_ms, Unset):
            inter_digit_timeout_ms = UNSET
        else:
            inter_digit_timeout_ms = self.inter_digit_timeout_ms

        min_digits: int | None | Unset
        if isinstance(self.min_digits, Unset):
            min_digits = UNSET
        else:
            min_digits = self.min_digits

        prompt_text: None | str | Unset
        if isinstance(self.prompt_text, Unset):
            prompt_text = UNSET
        else:
            prompt_text = self.prompt_text

        prompt_url: None | str | Unset
        if isinstance(self.prompt_url, Unset):
            prompt_url = UNSET
        else:
            prompt_url = self.prompt_url

        terminator: None | str | Unset
        if isinstance(self.terminator, Unset):
            terminator = UNSET
        else:
            terminator = self.terminator

        timeout_ms: int | None | Unset
        if isinstance(self.timeout_ms, Unset):
            timeout_ms = UNSET
        else:
            timeout_ms = self.timeout_ms

        tries: int | None | Unset
        if isinstance(self.tries, Unset):
            tries = UNSET
        else:
            tries = self.tries

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "max_digits": max_digits,
            }
        )
        if command_uid is not UNSET:
            field_dict["command_uid"] = command_uid
        if inter_digit_timeout_ms is not UNSET:
            field_dict["inter_digit_timeout_ms"] = inter_digit_timeout_ms
        if min_digits is not UNSET:
            field_dict["min_digits"] = min_digits
        if prompt_text is not UNSET:
            field_dict["prompt_text"] = prompt_text
        if prompt_url is not UNSET:
            field_dict["prompt_url"] = prompt_url
        if terminator is not UNSET:
            field_dict["terminator"] = terminator
        if timeout_ms is not UNSET:
            field_dict["timeout_ms"] = timeout_ms
        if tries is not UNSET:
            field_dict["tries"] = tries

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        max_digits = d.pop("max_digits")

        def _parse_command_uid(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        command_uid = _parse_command_uid(d.pop("command_uid", UNSET))

        def _parse_inter_digit_timeout_ms(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        inter_digit_timeout_ms = _parse_inter_digit_timeout_ms(
            d.pop("inter_digit_timeout_ms", UNSET)
        )

        def _parse_min_digits(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        min_digits = _parse_min_digits(d.pop("min_digits", UNSET))

        def _parse_prompt_text(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        prompt_text = _parse_prompt_text(d.pop("prompt_text", UNSET))

        def _parse_prompt_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        prompt_url = _parse_prompt_url(d.pop("prompt_url", UNSET))

        def _parse_terminator(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        terminator = _parse_terminator(d.pop("terminator", UNSET))

        def _parse_timeout_ms(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        timeout_ms = _parse_timeout_ms(d.pop("timeout_ms", UNSET))

        def _parse_tries(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        tries = _parse_tries(d.pop("tries", UNSET))

        gather = cls(
            max_digits=max_digits,
            command_uid=command_uid,
            inter_digit_timeout_ms=inter_digit_timeout_ms,
            min_digits=min_digits,
            prompt_text=prompt_text,
            prompt_url=prompt_url,
            terminator=terminator,
            timeout_ms=timeout_ms,
            tries=tries,
        )

        gather.additional_properties = d
        return gather

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
