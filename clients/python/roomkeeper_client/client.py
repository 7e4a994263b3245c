"""The client of the gateway API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from .errors import ApiError
from .generated.client import AuthenticatedClient
from .generated.types import Response
from .generated_operations import Operations
from .retry import RetryPolicy, RetryTransport, retry_after
from .stream import EventStream


class Roomkeeper(Operations):
    """A client of one app.

    Requests that Roomkeeper refuses for a time, or that a connection loses, are sent again by the policy. Commands get a
    `command_uid`, so that Roomkeeper executes them once. Threads can share a client.
    """

    def __init__(
        self,
        base_url: str,
        app_id: str,
        api_key: str,
        *,
        retry: RetryPolicy | None = None,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        policy = retry or RetryPolicy()
        self._http = httpx.Client(
            base_url=base_url,
            headers={"X-App-ID": app_id, "X-API-Key": api_key},
            timeout=timeout,
            transport=RetryTransport(transport or httpx.HTTPTransport(), policy),
        )
        #: The client that the functions in `generated.api` need.
        self.client = AuthenticatedClient(base_url=base_url, token="").set_httpx_client(self._http)

    def __enter__(self) -> Roomkeeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def follow_events(
        self,
        *,
        room_id: str | None = None,
        events: Sequence[str] = (),
        last_event_id: str | None = None,
        **options: Any,
    ) -> EventStream:
        """Follow the app's events, or those of one room; `events` are names and prefixes such as `call.*`."""
        return EventStream(
            self._http, room_id=room_id, events=events, last_event_id=last_event_id, **options
        )

    def _call(self, operation: Callable[..., Response[Any]], **arguments: Any) -> Any:
        """Execute an operation, and return its parsed answer."""
        answer = operation(client=self.client, **arguments)
        status = int(answer.status_code)
        if status >= 300 or answer.parsed is None:
            after = retry_after(httpx.Response(status, headers=dict(answer.headers)))
            raise ApiError.from_body(status, answer.content, after)
        return answer.parsed
