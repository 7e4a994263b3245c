"""The end of the event stream, against a transport that answers from a list."""

from __future__ import annotations

import socket
import threading
import unittest
from collections.abc import Callable

import httpx

from roomkeeper_client import EventStream, RetryPolicy, Roomkeeper

HEAD = {"Content-Type": "text/event-stream"}
EVENTS = b'id: 1\ndata: {"event":"conference.sang"}\n\nid: 2\ndata: {"event":"conference.danced"}\n\n'


class Script:
    """A stream whose requests get these answers; each is made when its request comes."""

    def __init__(self, *answers: Callable[[], httpx.Response], sleep: Callable[[float], object] | None = None) -> None:
        self._answers = list(answers)
        self.waits: list[float] = []
        policy = RetryPolicy(sleep=self.waits.append)
        transport = httpx.MockTransport(lambda _: self._answers.pop(0)())
        self.client = Roomkeeper("http://lab.test", "demo", "key", retry=policy, transport=transport)
        self.stream: EventStream = self.client.follow_events(sleep=sleep)

    def events(self) -> list[str]:
        return [streamed.event.event for streamed in self.stream]


class StreamTest(unittest.TestCase):
    def test_close_during_a_connect_ends_the_stream(self) -> None:
        def answer() -> httpx.Response:
            script.stream.close()
            return httpx.Response(200, headers=HEAD, content=EVENTS)

        script = Script(answer)
        self.assertEqual(script.events(), [])

    def test_close_during_a_reconnect_ends_the_stream(self) -> None:
        def again() -> httpx.Response:
            script.stream.close()
            return httpx.Response(200, headers=HEAD, content=EVENTS)

        script = Script(lambda: httpx.Response(200, headers=HEAD, content=EVENTS), again, sleep=lambda _: None)
        self.assertEqual(script.events(), ["conference.sang", "conference.danced"])

    def test_close_between_events_ends_the_stream(self) -> None:
        script = Script(lambda: httpx.Response(200, headers=HEAD, content=EVENTS))
        names = []
        for streamed in script.stream:
            names.append(streamed.event.event)
            script.stream.close()
        self.assertEqual(names, ["conference.sang"])
        self.assertEqual(script.stream.last_event_id, "1")

    def test_close_ends_the_wait_after_a_refusal(self) -> None:
        refusal = httpx.Response(503, headers={"Retry-After": "20"}, json={"success": False, "error": "not now"})
        waits: list[float] = []

        def sleep(wait: float) -> None:
            waits.append(wait)
            script.stream.close()

        script = Script(lambda: refusal, sleep=sleep)
        self.assertEqual(script.events(), [])
        self.assertEqual(len(waits), 1)
        self.assertGreaterEqual(waits[0], 20.0)
        # A close does not end the waits of the policy.
        self.assertEqual(script.waits, [])

    def test_close_ends_the_wait_for_events(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        client = Roomkeeper(f"http://127.0.0.1:{listener.getsockname()[1]}", "demo", "key")
        self.addCleanup(client.close)
        stream = client.follow_events()
        first = threading.Event()
        names = []

        def read() -> None:
            for streamed in stream:
                names.append(streamed.event.event)
                first.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        server, _ = listener.accept()
        self.addCleanup(server.close)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        server.sendall(head + EVENTS.partition(b"\n\n")[0] + b"\n\n")
        self.assertTrue(first.wait(10))
        stream.close()
        reader.join(10)
        self.assertFalse(reader.is_alive())
        self.assertEqual(names, ["conference.sang"])


if __name__ == "__main__":
    unittest.main()
