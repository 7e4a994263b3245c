"""The client against `roomkeeper lab`: rooms, idempotency, cooldowns, webhooks, the event stream."""

from __future__ import annotations

import queue
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab import APP, KEY, PATIENCE, Lab, Proxy
from standardwebhooks import Webhook

from roomkeeper_client import (
    ApiError,
    RetryPolicy,
    Roomkeeper,
    StreamedEvent,
    UnknownEvent,
    WebhookFormatError,
    WebhookVerificationError,
    WebhookVerifier,
    models,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


class Receiver(ThreadingHTTPServer):
    """A webhook endpoint that keeps requests as received."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: queue.Queue[tuple[bytes, dict[str, str]]] = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next(self) -> tuple[bytes, dict[str, str]]:
        return self.received.get(timeout=PATIENCE)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.put((body, dict(self.headers.items())))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class StreamReader:
    """A stream that a thread reads."""

    def __init__(self, client: Roomkeeper, **options: object) -> None:
        self.stream = client.follow_events(**options)  # type: ignore[arg-type]
        self._events: queue.Queue[StreamedEvent] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.until("stream.open")

    def _read(self) -> None:
        for streamed in self.stream:
            self._events.put(streamed)

    def next(self) -> StreamedEvent:
        return self._events.get(timeout=PATIENCE)

    def until(self, name: str, session: str | None = None) -> StreamedEvent:
        while True:
            streamed = self.next()
            if streamed.event.event == name:
                if session is None or getattr(streamed.event, "session_uuid", None) == session:
                    return streamed

    def rest(self) -> list[StreamedEvent]:
        """Wait for the end of the stream."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return list(self._events.queue)

    def close(self) -> None:
        self.stream.close()


class LabTest(unittest.TestCase):
    lab: Lab
    client: Roomkeeper

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = Lab()
        cls.addClassCleanup(cls.lab.close)
        cls.client = Roomkeeper(cls.lab.url, APP, KEY)
        cls.addClassCleanup(cls.client.close)

    def parked_call(self) -> str:
        """A call that is in no room; the lab has one after a while."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for call in self.client.list_calls().sessions:
                if call.state == "parked":
                    return call.uuid
        raise AssertionError("no call is parked")

    def joined_call(self, name: str, **options: object) -> tuple[str, str, StreamReader]:
        """A new room with a call in it, and the room's events."""
        call = self.parked_call()
        room = self.client.create_room(body=models.NewConference(name=name, session=call)).room_id
        followed = StreamReader(self.client, room_id=room, **options)
        self.addCleanup(followed.close)
        joined = self.client.join_room(call, body=models.Join(room_id=room, muted=False))
        self.assertEqual(joined.status, "joining")
        event = followed.until("conference.member.joined", call).event
        self.assertIsInstance(event, models.ConferenceMemberJoinedEvent)
        self.assertFalse(event.data.muted)
        return call, room, followed

    def end(self, room: str, call: str) -> None:
        self.client.delete_room(room)
        self.client.hang_up_call(call)

    def test_repeated_mute_has_one_effect(self) -> None:
        call, room, followed = self.joined_call("mute")
        command = models.Command(command_uid="mute-1")
        answers = [self.client.mute_member(call, body=command) for _ in range(2)]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0].status, "muted")
        event = followed.until("conference.member.muted", call).event
        self.assertEqual(event.data.command_uid, "mute-1")
        self.assertTrue(self.client.list_members(room).members[0].muted)
        self.end(room, call)
        # The stream of a room ends with it.
        names = [streamed.event.event for streamed in followed.rest()]
        self.assertNotIn("conference.member.muted", names)
        self.assertEqual(names[-1], "conference.destroyed")

    def test_cooldown_is_waited_for(self) -> None:
        call, room, _ = self.joined_call("cooldown")
        waits: list[float] = []
        policy = RetryPolicy(attempts=3, sleep=waits.append, jitter=lambda: 0.0)
        with Roomkeeper(self.lab.url, APP, KEY, retry=policy) as client:
            client.mute_member(call)
            # Nobody waits here, so Roomkeeper refuses each attempt.
            with self.assertRaises(ApiError) as raised:
                client.unmute_member(call)
        self.assertEqual(raised.exception.status, 429)
        self.assertGreaterEqual(raised.exception.detail["retry_after_ms"], 1)
        self.assertEqual(waits, [raised.exception.retry_after] * 2)
        # With real waits the command succeeds.
        self.assertEqual(self.client.unmute_member(call).status, "unmuted")
        self.end(room, call)

    def test_refusals_are_errors_with_details(self) -> None:
        made = self.client.create_room(body=models.NewConference(name="taken"))
        with self.assertRaises(ApiError) as raised:
            self.client.create_room(body=models.NewConference(name="taken"))
        self.assertEqual(raised.exception.status, 409)
        self.assertEqual(raised.exception.detail["room_id"], made.room_id)
        self.client.delete_room(made.room_id)
        with self.assertRaises(ApiError) as raised:
            self.client.get_room(made.room_id)
        self.assertEqual((raised.exception.status, raised.exception.error), (404, "room not found"))

    def test_webhooks_are_verified(self) -> None:
        receiver = Receiver()
        self.addCleanup(receiver.close)
        endpoint = self.client.create_webhook(
            body=models.WebhookRequest(url=receiver.url, events=["conference.created"], secret=SECRET)
        )
        self.client.test_webhook(endpoint.id)
        body, headers = receiver.next()
        event = WebhookVerifier(SECRET).verify(body, headers)
        self.assertIsInstance(event, models.WebhookTestEvent)
        self.assertEqual(event.data.endpoint_id, endpoint.id)
        room = self.client.create_room(body=models.NewConference(name="hooked"))
        event = WebhookVerifier([OTHER, SECRET]).verify(*receiver.next())
        self.assertIsInstance(event, models.ConferenceCreatedEvent)
        self.assertEqual((event.room_id, event.data.name, event.sequence), (room.room_id, "hooked", 1))
        self.check_refusals(body, headers)
        # While a secret is replaced, receivers with either secret accept the webhooks.
        replaced = self.client.rotate_webhook_secret(endpoint.id).secret
        self.client.test_webhook(endpoint.id)
        body, headers = receiver.next()
        for secret in (SECRET, replaced):
            self.assertEqual(WebhookVerifier(secret).verify(body, headers).event, "webhook.test")
        self.client.delete_webhook(endpoint.id)
        self.client.delete_room(room.room_id)

    def check_refusals(self, body: bytes, headers: dict[str, str]) -> None:
        verifier = WebhookVerifier(SECRET)
        names = {name.lower(): value for name, value in headers.items()}
        for changed_body, changes in (
            (body.replace(b"demo", b"other"), {}),
            (body, {"webhook-id": "msg_other"}),
            (body, {"webhook-signature": "v1,AAAA"}),
            (body, {"webhook-signature": "nonsense"}),
            (body, {"webhook-timestamp": "tomorrow"}),
            (b"\xff", {}),
        ):
            with self.assertRaises(WebhookVerificationError):
                verifier.verify(changed_body, names | changes)
        with self.assertRaises(WebhookVerificationError):
            WebhookVerifier(OTHER).verify(body, headers)
        with self.assertRaises(WebhookVerificationError):
            verifier.verify(body, {})
        now = datetime.now(tz=timezone.utc)
        for age in (timedelta(minutes=10), timedelta(minutes=-10)):
            with self.assertRaises(WebhookVerificationError):
                verifier.verify(body, signed(body, now - age))
        # Genuine requests of a newer server, and such that are no events.
        event = verifier.verify(b'{"event":"conference.sang"}', signed(b'{"event":"conference.sang"}', now))
        self.assertEqual(event, UnknownEvent("conference.sang", {"event": "conference.sang"}))
        for other in (b"[]", b"{", b'{"event":"call.new"}'):
            with self.assertRaises(WebhookFormatError):
                verifier.verify(other, signed(other, now))

    def test_stream_resumes_after_a_cut(self) -> None:
        proxy = Proxy(self.lab.url)
        self.addCleanup(proxy.close)
        waits: list[float] = []
        with Roomkeeper(proxy.url, APP, KEY) as client:
            followed = StreamReader(client, events=["conference.created"], sleep=waits.append)
            self.addCleanup(followed.close)
            rooms, seen = [], []
            for number in range(6):
                if number % 2 == 1:
                    proxy.cut()
                room = self.client.create_room(body=models.NewConference(name=f"cut-{number}"))
                rooms.append(room.room_id)
                if number % 2 == 0:
                    # The position behind this event is known when the next cut comes.
                    seen += self.names(followed, number + 1 - len(seen))
            seen += self.names(followed, len(rooms) - len(seen))
        self.assertEqual(seen, [f"cut-{number}" for number in range(6)])
        self.assertGreaterEqual(proxy.connections, 4)
        self.assertTrue(waits)
        for room in rooms:
            self.client.delete_room(room)

    def names(self, followed: StreamReader, count: int) -> list[str]:
        found = []
        while len(found) < count:
            streamed = followed.next()
            self.assertNotEqual(streamed.event.event, "stream.gap")
            if streamed.event.event == "conference.created" and streamed.event.data.name.startswith("cut-"):
                self.assertIsNotNone(streamed.id)
                found.append(streamed.event.data.name)
        return found

    def test_stream_with_a_wrong_key_fails(self) -> None:
        with Roomkeeper(self.lab.url, APP, "wrong") as client:
            with self.assertRaises(ApiError) as raised:
                next(iter(client.follow_events()))
        self.assertEqual(raised.exception.status, 401)


def signed(body: bytes, at: datetime) -> dict[str, str]:
    signature = Webhook(SECRET).sign("msg_1", at, body.decode())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


if __name__ == "__main__":
    unittest.main()
