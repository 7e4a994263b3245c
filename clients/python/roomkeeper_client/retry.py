"""Retries of refused and failed requests, and the idempotency keys that make them safe."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from .generated_events import COMMAND_PATHS

# Refusals that end by themselves.
_RETRY_STATUSES = frozenset({429, 503})
# A repeated request of these methods changes nothing more than the first.
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True)
class RetryPolicy:
    """How often and after which waits a request is sent again."""

    #: The number of attempts, the first one included.
    attempts: int = 4
    #: The longest wait in seconds. A request whose `Retry-After` is longer is not sent again.
    longest_wait: float = 30.0
    #: The wait after the first failure without a `Retry-After`; it doubles each time.
    first_wait: float = 0.25
    #: Waits; tests replace it.
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    #: Returns a number from 0 to 1; tests replace it.
    jitter: Callable[[], float] = field(default=random.random, repr=False)

    def wait_before(self, attempt: int, response: httpx.Response | None) -> float | None:
        """Return the wait before this attempt (the second is 2), or `None` if there must be no further one."""
        if attempt > self.attempts:
            return None
        asked = retry_after(response) if response is not None else None
        if asked is not None:
            # A little later than asked, so that many clients do not return at the same moment.
            wait = asked + self.jitter() * min(1.0, asked / 4)
            return min(wait, self.longest_wait) if asked <= self.longest_wait else None
        return self.jitter() * min(self.first_wait * 2 ** (attempt - 2), self.longest_wait)


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, which Roomkeeper sends as a whole number."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else None


class RetryTransport(httpx.BaseTransport):
    """Sends requests through another transport, gives commands an idempotency key, and retries.

    A request is sent again if Roomkeeper refused it with 429 or 503, or if the connection failed, and if repeating it
    does no harm: it only reads, is idempotent by its method, or carries a `command_uid`.
    """

    def __init__(self, inner: httpx.BaseTransport, policy: RetryPolicy) -> None:
        self._inner = inner
        self._policy = policy

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.extensions.get("roomkeeper_retry") is False:
            return self._inner.handle_request(request)
        request.read()
        request = with_command_uid(request)
        attempt = 1
        while True:
            failure: httpx.TransportError | None = None
            response: httpx.Response | None = None
            try:
                response = self._inner.handle_request(request)
                if response.status_code not in _RETRY_STATUSES:
                    return response
            except httpx.TransportError as error:
                failure = error
            attempt += 1
            may_repeat = is_repeatable(request, failure, response)
            wait = self._policy.wait_before(attempt, response) if may_repeat else None
            if wait is None:
                if response is None:
                    assert failure is not None
                    raise failure
                return response
            if response is not None:
                response.close()
            self._policy.sleep(wait)

    def close(self) -> None:
        self._inner.close()


def is_repeatable(
    request: httpx.Request, failure: httpx.TransportError | None, response: httpx.Response | None
) -> bool:
    """Return whether sending the request again does no harm."""
    if response is not None and response.status_code == 429:
        # Refused before anything was done.
        return True
    if isinstance(failure, (httpx.ConnectError, httpx.ConnectTimeout)):
        # Never sent.
        return True
    return request.method in _IDEMPOTENT_METHODS or _command_uid(request) is not None


def with_command_uid(request: httpx.Request) -> httpx.Request:
    """Return the request of a command with a `command_uid`, which is made if the caller has given none."""
    if request.method != "POST" or not any(path.fullmatch(request.url.path) for path in COMMAND_PATHS):
        return request
    body = _json_object(request) if request.content else {}
    if body is None or body.get("command_uid") is not None:
        return request
    body["command_uid"] = uuid.uuid4().hex
    content = json.dumps(body).encode()
    kept = {"content-length", "transfer-encoding", "content-type"}
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in kept]
    headers.append(("Content-Type", "application/json"))
    return httpx.Request(
        request.method, request.url, headers=headers, content=content, extensions=request.extensions
    )


def _command_uid(request: httpx.Request) -> str | None:
    body = _json_object(request) if request.content else None
    uid = body.get("command_uid") if body else None
    return uid if isinstance(uid, str) else None


def _json_object(request: httpx.Request) -> dict[str, object] | None:
    try:
        body = json.loads(request.content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
