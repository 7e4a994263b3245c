from typing import Literal

StreamFilter = Literal[
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
    "member.*",
    "member.floor",
    "member.talking",
]

STREAM_FILTER_VALUES: set[StreamFilter] = {
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
    "member.*",
    "member.floor",
    "member.talking",
}


def check_stream_filter(value: str) -> StreamFilter:
    if value in STREAM_FILTER_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {STREAM_FILTER_VALUES!r}"
    )
