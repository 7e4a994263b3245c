"""A client of Roomkeeper's gateway API.

`Roomkeeper` has one method for each operation; `generated` has the same operations as functions, also for asyncio, and
the models of all bodies. `WebhookVerifier` reads webhooks, `Roomkeeper.follow_events` the event stream.
"""

from . import models
from .client import Roomkeeper
from .errors import ApiError, WebhookFormatError, WebhookVerificationError
from .generated_events import Event
from .retry import RetryPolicy
from .stream import EventStream, StreamedEvent
from .webhooks import AnyEvent, UnknownEvent, WebhookVerifier, parse_event

__all__ = [
    "AnyEvent",
    "ApiError",
    "Event",
    "EventStream",
    "RetryPolicy",
    "Roomkeeper",
    "StreamedEvent",
    "UnknownEvent",
    "WebhookFormatError",
    "WebhookVerificationError",
    "WebhookVerifier",
    "models",
    "parse_event",
]
