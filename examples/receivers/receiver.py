"""A receiver of Roomkeeper's webhooks, in Python.

    pip install -r requirements.txt
    WEBHOOK_SECRET=whsec_… PORT=9999 python receiver.py

It verifies each message with the official library of Standard Webhooks, handles each once, and prints it.
"""

import json
import os
import sys
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from standardwebhooks import Webhook, WebhookVerificationError

LONGEST = 1024 * 1024
# Number of remembered ids. An application stores the id in the same transaction as the effect of the message.
REMEMBERED = 10_000


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, secret):
        self.webhook = Webhook(secret)
        self.seen = OrderedDict()
        self.lock = Lock()
        super().__init__(address, Handler)

    def is_new(self, message_id):
        with self.lock:
            if message_id in self.seen:
                return False
            self.seen[message_id] = None
            if len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
            return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        # Reads the body before any answer: the connection carries the next request, which would begin in it.
        try:
            body = self.read_body()
        except (ValueError, ConnectionError, TimeoutError):
            # The rest of the request is unknown, so the connection ends with the answer.
            self.close_connection = True
            return self.answer(400)
        if self.path != "/hook":
            return self.answer(404)
        if body is None:
            return self.answer(413)
        try:
            # Verifies the bytes as received: parsed and serialized JSON has another signature. Also refuses a message
            # older than five minutes.
            self.server.webhook.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            return self.answer(401)
        except ValueError:
            # The signature is valid, but the body is not JSON.
            return self.answer(400)
        message = json.loads(body)
        if not isinstance(message, dict):
            return self.answer(400)
        # The same id is the same message, sent again because the answer was lost.
        if self.server.is_new(self.headers["webhook-id"]):
            about = message.get("room_id") or message.get("session_uuid") or "-"
            print(json.dumps(message.get("event")), about, json.dumps(message.get("data")), flush=True)
        # Answers at once: work that takes more than a few seconds follows the answer.
        return self.answer(204)

    def read_body(self):
        """Reads the body to its end. Returns its bytes, or None if they are too many."""
        kept, length = [], 0
        for piece in self.pieces():
            length += len(piece)
            if length <= LONGEST:
                kept.append(piece)
        return b"".join(kept) if length <= LONGEST else None

    def pieces(self):
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            yield from self.exactly(int(self.headers.get("content-length", "0")))
            return
        while size := int(self.rfile.readline(1024).split(b";")[0], 16):
            yield from self.exactly(size)
            self.rfile.readline(1024)
        # The trailers end with an empty line.
        while self.rfile.readline(1024).strip():
            pass

    def exactly(self, length):
        if length < 0:
            raise ValueError("a negative length")
        while length > 0:
            piece = self.rfile.read(min(length, 65536))
            if not piece:
                raise ConnectionError("the body ended early")
            length -= len(piece)
            yield piece

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if "WEBHOOK_SECRET" not in os.environ:
        sys.exit("WEBHOOK_SECRET is not set")
    receiver = Receiver(("127.0.0.1", int(os.environ.get("PORT", "9999"))), os.environ["WEBHOOK_SECRET"])
    print(f"listening on http://127.0.0.1:{receiver.server_port}/hook", flush=True)
    receiver.serve_forever()
