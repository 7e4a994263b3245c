from typing import Literal

WebhookFilter = Literal[
    "*",
    "call.*",
    "call.answered",
    "call.hangup",
    "call.new",
    "conference.*",
    "conference.created",
    "conference.destroyed",
    "conference.member.*",
    "conference.member.deafened",
    "conference.member.join_failed",
    "conference.member.joined",
    "conference.member.left",
    "conference.member.muted",
    "conference.member.undeafened",
    "conference.member.unmuted",
    "conference.play.*",
    "conference.play.finished",
    "conference.play.paused",
    "conference.play.resumed",
    "conference.play.started",
    "conference.play.stopped",
    "conference.play.volume_changed",
    "conference.recording.*",
    "conference.recording.failed",
    "conference.recording.started",
    "conference.recording.stopped",
    "conference.updated",
    "webhook.*",
    "webhook.disabled",
    "webhook.test",
]

WEBHOOK_FILTER_VALUES: set[WebhookFilter] = {
    "*",
    "call.*",
    "call.answered",
    "call.hangup",
    "call.new",
    "conference.*",
    "conference.created",
    "conference.destroyed",
    "conference.member.*",
    "conference.member.deafened",
    "conference.member.join_failed",
    "conference.member.joined",
    "conference.member.left",
    "conference.member.muted",
    "conference.member.undeafened",
    "conference.member.unmuted",
    "conference.play.*",
    "conference.play.finished",
    "conference.play.paused",
    "conference.play.resumed",
    "conference.play.started",
    "conference.play.stopped",
    "conference.play.volume_changed",
    "conference.recording.*",
    "conference.recording.failed",
    "conference.recording.started",
    "conference.recording.stopped",
    "conference.updated",
    "webhook.*",
    "webhook.disabled",
    "webhook.test",
}


def check_webhook_filter(value: str) -> WebhookFilter:
    if value in WEBHOOK_FILTER_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {WEBHOOK_FILTER_VALUES!r}"
    )
