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
        if self.path != "/hook":
            return self.answer(404)
        length = self.headers.get("content-length", "")
        if not length.isdigit():
            return self.answer(411)
        if int(length) > LONGEST:
            return self.answer(413)
        body = self.rfile.read(int(length))
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
        # The same id is the same message, sent again because the answer was lost.
        if self.server.is_new(self.headers["webhook-id"]):
            about = message.get("room_id") or message.get("session_uuid") or "-"
            print(json.dumps(message["event"]), about, json.dumps(message["data"]), flush=True)
        # Answers at once: work that takes more than a few seconds follows the answer.
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        if status in (411, 413):
            # The body was not read.
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
