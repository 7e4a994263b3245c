"""The errors of the client."""

from __future__ import annotations

import json
from typing import Any


class ApiError(Exception):
    """A refusal of Roomkeeper."""

    def __init__(self, status: int, error: str, detail: dict[str, Any] | None, retry_after: float | None) -> None:
        super().__init__(f"{status}: {error}")
        #: The HTTP status.
        self.status = status
        #: The error as text.
        self.error = error
        #: Machine-readable details, such as `field` or `room_id`.
        self.detail = detail or {}
        #: Seconds after which the request may be sent again, if Roomkeeper has named them.
        self.retry_after = retry_after

    @property
    def is_temporary(self) -> bool:
        """True if the same request may succeed later."""
        return self.status == 429 or self.status >= 500

    @classmethod
    def from_body(cls, status: int, body: bytes, retry_after: float | None) -> ApiError:
        """Read the error from the body of a response; a proxy's may have any form."""
        try:
            failure = json.loads(body)
        except ValueError:
            failure = None
        if not isinstance(failure, dict):
            failure = {}
        detail = failure.get("detail")
        error = failure.get("error") or body[:200].decode(errors="replace")
        return cls(status, str(error), detail if isinstance(detail, dict) else None, retry_after)


class WebhookVerificationError(Exception):
    """A request that is not a genuine webhook: answer 401."""


class WebhookFormatError(ValueError):
    """A signed body that is no event: answer 400."""
