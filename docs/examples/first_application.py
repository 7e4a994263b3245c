"""Puts each new call into a room of its own. Python 3.11 or later, with the package roomkeeper-client."""
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import httpx
from roomkeeper_client import ApiError, RetryPolicy, Roomkeeper, WebhookVerificationError, WebhookVerifier
from roomkeeper_client.models import CallNewEvent, ConferenceMemberJoinedEvent, Join, NewConference

API = os.environ.get("ROOMKEEPER_API", "http://127.0.0.1:8080")
roomkeeper = Roomkeeper(API, "demo", "lab-key", timeout=3, retry=RetryPolicy(attempts=2, longest_wait=2))
verifier = WebhookVerifier(os.environ["WEBHOOK_SECRET"])

def room_for(call):
    try:
        return roomkeeper.create_room(body=NewConference(name=f"call-{call}", session=call)).room_id
    except ApiError as error:
        if "room_id" not in error.detail:
            raise
        return error.detail["room_id"]  # 409: made by an earlier attempt

def handle(event):
    if isinstance(event, ConferenceMemberJoinedEvent):
        print(f"call {event.session_uuid} joined room {event.room_id}", flush=True)
    if isinstance(event, CallNewEvent):
        call = event.session_uuid
        roomkeeper.join_room(call, body=Join(room_id=room_for(call), muted=False))

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            handle(verifier.verify(self.rfile.read(int(self.headers.get("content-length", 0))), self.headers))
            status = 204
        except WebhookVerificationError:
            status = 401
        except (ApiError, httpx.TransportError) as error:  # after a 503 Roomkeeper sends the webhook again
            status = 503 if getattr(error, "is_temporary", True) else 204
        self.send_response(status)
        self.end_headers()

server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9999"))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}/hook", flush=True)
server.serve_forever()
