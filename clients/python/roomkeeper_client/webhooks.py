"""Verifies webhooks by Standard Webhooks and parses their bodies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from standardwebhooks import Webhook, WebhookVerificationError as _Refused

from .errors import WebhookFormatError, WebhookVerificationError
from .generated_events import EVENTS, Event


@dataclass(frozen=True)
class UnknownEvent:
    """An event that this version of the client does not know."""

    #: The name.
    event: str
    #: The body as received.
    body: dict[str, Any]


AnyEvent = Union[Event, UnknownEvent]


class WebhookVerifier:
    """Verifies the webhooks of one endpoint.

    Roomkeeper signs with both secrets while one is replaced, so a receiver that knows either accepts its webhooks. Give
    both here when you set a secret yourself, and remove the old one a day later.
    """

    def __init__(self, secret: str | Iterable[str]) -> None:
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets:
            raise ValueError("a webhook secret is required")
        self._webhooks = [Webhook(secret) for secret in secrets]

    def verify(self, body: bytes, headers: Mapping[str, str]) -> AnyEvent:
        """Return the event of a genuine request.

        `body` are the bytes as received: parsed and serialized JSON has another signature. A request that is older than
        five minutes, or that far in the future, is refused.
        """
        given = {name.lower(): value for name, value in headers.items()}
        if not any(_is_genuine(webhook, body, given) for webhook in self._webhooks):
            raise WebhookVerificationError("the webhook has no valid signature of the last five minutes")
        return parse_event(body)


def _is_genuine(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (_Refused, ValueError):
        # The library raises ValueError for malformed signatures and bytes that are not UTF-8.
        return False
    return True


def parse_event(body: bytes | str) -> AnyEvent:
    """Return the event of a body that is known to be genuine."""
    try:
        fields = json.loads(body)
        name = fields["event"]
        known = EVENTS.get(name)
        return known.from_dict(fields) if known else UnknownEvent(name, fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WebhookFormatError("the body is not an event") from error
