"""Follows the event stream, and resumes it after a cut."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx
from httpx_sse import EventSource, SSEError

from .errors import ApiError
from .retry import retry_after
from .webhooks import AnyEvent, parse_event

# Roomkeeper sends a comment every 15 seconds.
_SILENCE = 45.0
# Statuses that end by themselves.
_TEMPORARY = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class StreamedEvent:
    """One event of the stream."""

    #: The position behind the event, to resume from; `None` for events that are not stored.
    id: str | None
    #: The event.
    event: AnyEvent


class EventStream:
    """Iterates over events, and reconnects after each cut with the `Last-Event-ID` of the last one.

    It begins with `stream.open`. After `stream.gap`, events are missing: read the state again. The stream of one room
    ends with its `conference.destroyed`. Close the stream to end it from another thread.
    """

    def __init__(
        self,
        client: httpx.Client,
        *,
        room_id: str | None = None,
        events: Sequence[str] = (),
        last_event_id: str | None = None,
        longest_wait: float = 30.0,
        sleep: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._query = {"room_id": room_id} if room_id else {}
        if events:
            self._query["event"] = ",".join(events)
        self._longest_wait = longest_wait
        self._closed = threading.Event()
        # A wait that ends when the stream is closed.
        self._sleep = sleep or self._closed.wait
        self._jitter = jitter
        self._response: httpx.Response | None = None
        self._retry = 2.0
        self._failures = 0
        #: The position of the last event. Store it to resume after a restart of the application.
        self.last_event_id = last_event_id

    def __iter__(self) -> Iterator[StreamedEvent]:
        while not self._closed.is_set():
            wait = None
            try:
                yield from self._connection()
            except ApiError as error:
                if error.status == 404 and self.last_event_id is not None and "room_id" in self._query:
                    # The room has ended, and all its events were received.
                    return
                if error.status not in _TEMPORARY:
                    raise
                wait = error.retry_after
            except (httpx.TransportError, httpx.StreamError):
                pass
            if not self._closed.is_set():
                self._sleep(self._wait(wait))

    def close(self) -> None:
        """End the stream."""
        self._closed.set()
        response = self._response
        if response is not None:
            _end_read(response)
            response.close()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, asked: float | None) -> float:
        self._failures += 1
        if asked is None:
            asked = self._retry * 2 ** min(self._failures - 1, 10)
        asked = min(asked, self._longest_wait)
        return asked * (1 + self._jitter() / 4)

    def _connection(self) -> Iterator[StreamedEvent]:
        headers = {"Accept": "text/event-stream"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        timeout = httpx.Timeout(10.0, read=_SILENCE)
        # The stream waits and reconnects by itself, until it is closed.
        extensions = {"roomkeeper_retry": False}
        stream = self._client.stream(
            "GET",
            "/api/v1/events",
            params=self._query,
            headers=headers,
            timeout=timeout,
            extensions=extensions,
        )
        with stream as response:
            self._response = response
            try:
                yield from self._events(response)
            except SSEError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            finally:
                self._response = None

    def _events(self, response: httpx.Response) -> Iterator[StreamedEvent]:
        # The stream may have been closed before there was a response.
        if self._closed.is_set():
            return
        if response.status_code != 200:
            raise ApiError.from_body(response.status_code, response.read(), retry_after(response))
        for sent in EventSource(response).iter_sse():
            if sent.retry is not None:
                self._retry = sent.retry / 1000
            event = parse_event(sent.data)
            is_stored = bool(sent.id) and sent.id != self.last_event_id
            if is_stored:
                self.last_event_id = sent.id
            self._failures = 0
            yield StreamedEvent(sent.id if is_stored else None, event)
            if "room_id" in self._query and sent.event == "conference.destroyed":
                self._closed.set()
            if self._closed.is_set():
                return


def _end_read(response: httpx.Response) -> None:
    """End a read of another thread, which closing the socket alone does not do."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(connection, socket.socket):
        try:
            # The method of `SSLSocket` would also remove its TLS state, which the read still uses.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        except OSError:
            # The connection has ended.
            pass
