"""Retries and idempotency keys, against a transport that answers from a list."""

from __future__ import annotations

import json
import unittest
from collections.abc import Callable

import httpx

from roomkeeper_client import ApiError, RetryPolicy, Roomkeeper, models

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
CALL = "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11"
Answer = httpx.Response | Exception


def refusal(status: int, retry_after: str | None = None) -> httpx.Response:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return httpx.Response(status, headers=headers, json={"success": False, "error": "not now"})


def muted() -> httpx.Response:
    return httpx.Response(202, json={"status": "muted", "room_id": ROOM})


class Script:
    """A client whose requests get these answers."""

    def __init__(self, *answers: Answer, jitter: float = 0.0) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        policy = RetryPolicy(attempts=3, longest_wait=20.0, sleep=self.waits.append, jitter=lambda: jitter)
        transport = httpx.MockTransport(self._answer)
        self.client = Roomkeeper("http://lab.test", "demo", "key", retry=policy, transport=transport)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def uids(self) -> list[str]:
        return [json.loads(request.content)["command_uid"] for request in self.requests]


class RetryTest(unittest.TestCase):
    def failure_of(self, step: Callable[[], object]) -> ApiError:
        with self.assertRaises(ApiError) as raised:
            step()
        return raised.exception

    def test_command_is_sent_again_after_retry_after_with_the_same_key(self) -> None:
        script = Script(refusal(429, "3"), refusal(503, "8"), muted(), jitter=1.0)
        answer = script.client.mute_member(CALL)
        self.assertEqual(answer.status, "muted")
        # A part of the wait is added, so that clients do not return together.
        self.assertEqual(script.waits, [3.75, 9.0])
        self.assertEqual(len(set(script.uids())), 1)
        self.assertRegex(script.uids()[0], "^[a-zA-Z0-9._-]{1,128}$")

    def test_each_command_has_its_own_key(self) -> None:
        script = Script(muted(), muted())
        script.client.mute_member(CALL)
        script.client.mute_member(CALL)
        self.assertEqual(len(set(script.uids())), 2)

    def test_key_of_the_caller_is_kept(self) -> None:
        script = Script(muted())
        script.client.mute_member(CALL, body=models.Command(command_uid="mute-1"))
        self.assertEqual(script.uids(), ["mute-1"])

    def test_attempts_are_bounded(self) -> None:
        script = Script(*(refusal(429, "1") for _ in range(3)))
        failure = self.failure_of(lambda: script.client.mute_member(CALL))
        self.assertEqual((failure.status, failure.retry_after), (429, 1.0))
        self.assertEqual(len(script.requests), 3)

    def test_wait_that_is_too_long_is_left_to_the_caller(self) -> None:
        script = Script(refusal(503, "3600"))
        failure = self.failure_of(lambda: script.client.list_rooms())
        self.assertEqual(failure.retry_after, 3600.0)
        self.assertEqual(script.waits, [])

    def test_lost_connection_of_a_command_is_retried(self) -> None:
        script = Script(httpx.ReadTimeout("no answer"), muted(), jitter=1.0)
        script.client.mute_member(CALL)
        self.assertEqual(script.waits, [0.25])
        self.assertEqual(len(set(script.uids())), 1)

    def test_request_without_a_key_is_not_repeated_when_its_effect_is_unknown(self) -> None:
        for answer in (httpx.ReadTimeout("no answer"), refusal(503, "1")):
            script = Script(answer)
            with self.assertRaises((httpx.ReadTimeout, ApiError)):
                script.client.create_room(body=models.NewConference(name="standup"))
            self.assertEqual(len(script.requests), 1)

    def test_request_without_a_key_is_repeated_when_it_had_no_effect(self) -> None:
        made = httpx.Response(201, json={"room_id": ROOM})
        script = Script(httpx.ConnectError("refused"), refusal(429, "1"), made)
        room = script.client.create_room(body=models.NewConference(name="standup"))
        self.assertEqual(room.room_id, ROOM)

    def test_other_refusals_are_not_retried(self) -> None:
        for status in (400, 404, 409, 500, 502, 504):
            script = Script(refusal(status))
            self.assertEqual(self.failure_of(lambda: script.client.list_rooms()).status, status)
            self.assertEqual(len(script.requests), 1)


if __name__ == "__main__":
    unittest.main()
