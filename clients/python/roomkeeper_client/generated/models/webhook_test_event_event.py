from typing import Literal

WebhookTestEventEvent = Literal["webhook.test"]

WEBHOOK_TEST_EVENT_EVENT_VALUES: set[WebhookTestEventEvent] = {
    "webhook.test",
}


def check_webhook_test_event_event(value: str) -> WebhookTestEventEvent:
    if value in WEBHOOK_TEST_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {WEBHOOK_TEST_EVENT_EVENT_VALUES!r}"
    )
