from typing import Literal

ConferenceCallNoAnswerEventEvent = Literal["conference.call.no_answer"]

CONFERENCE_CALL_NO_ANSWER_EVENT_EVENT_VALUES: set[ConferenceCallNoAnswerEventEvent] = {
    "conference.call.no_answer",
}


def check_conference_call_no_answer_event_event(
    value: str,
) -> ConferenceCallNoAnswerEventEvent:
    if value in CONFERENCE_CALL_NO_ANSWER_EVENT_EVENT_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CONFERENCE_CALL_NO_ANSWER_EVENT_EVENT_VALUES!r}"
    )
