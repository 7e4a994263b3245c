from typing import Literal

WebhookDisabledEventEvent = Literal["webhook.disabled"]

WEBHOOK_DISABLED_EVENT_EVENT_VALUES: set[WebhookDisabledEventEvent] = {
    "webhook.disabled",
}


def check_webhook_disabled_event_event(value: str) -> WebhookDisabledEventEvent:
    if value in WEBHOOK_DISABLED_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {WEBHOOK_DISABLED_EVENT_EVENT_VALUES!r}"
    )
