"""A conference line: the callers of one number meet in one room. With the package roomkeeper-client.

Callers are greeted when they join, unmuted. A moderator sees and controls the rooms by HTTP:

    GET  /rooms                                        the rooms and their members
    POST /rooms/{room}/lock, /unlock                   nobody else joins
    POST /rooms/{room}/members/{call}/mute, /unmute, /kick

The application stores nothing. Roomkeeper knows the rooms, whose names follow from the number; it repeats webhooks until
they are accepted; and at its start the application places the calls that wait. So it can be restarted at any time.

Environment: ROOMKEEPER_API, WEBHOOK_SECRET, MODERATOR_TOKEN, PORT, GREETING_URL (optional).
"""

import hmac
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from roomkeeper_client import (
    ApiError,
    RetryPolicy,
    Roomkeeper,
    WebhookFormatError,
    WebhookVerificationError,
    WebhookVerifier,
    models,
)

API = os.environ.get("ROOMKEEPER_API", "http://127.0.0.1:8080")
SECRET = os.environ["WEBHOOK_SECRET"]
TOKEN = os.environ["MODERATOR_TOKEN"]
GREETING = os.environ.get("GREETING_URL")
EVENTS = ["call.new", "conference.member.joined", "conference.member.left"]
LONGEST_BODY = 1024 * 1024
# An answer to a webhook must come within 10 s, so requests during one take less.
roomkeeper = Roomkeeper(API, "demo", "lab-key", timeout=3, retry=RetryPolicy(attempts=2, longest_wait=2))
verifier = WebhookVerifier(SECRET)


def room_name(call):
    """The name of the room for a call. A room has one node, and takes calls of that node only."""
    number = re.sub(r"[^A-Za-z0-9]", "", call.did)[:40] or "none"
    return f"line-{number}-{call.node}"


def room_for(call):
    """The room for a call, which is made if there is none yet."""
    try:
        return roomkeeper.create_room(body=models.NewConference(name=room_name(call), session=call.uuid)).room_id
    except ApiError as error:
        if "room_id" not in error.detail:
            raise
        return error.detail["room_id"]


def place(call):
    """Answers a call and lets it join. Repeating this does no harm."""
    try:
        roomkeeper.answer_call(call.uuid)
    except ApiError as error:
        if error.status != 409:  # 409: it is answered
            raise
    roomkeeper.join_room(call.uuid, body=models.Join(room_id=room_for(call), muted=False))


def handle(event):
    """Reacts to a webhook. It can come more than once."""
    if isinstance(event, models.CallNewEvent):
        place(roomkeeper.get_call(event.session_uuid))
    elif isinstance(event, models.ConferenceMemberJoinedEvent):
        print(f"{event.data.caller_id} joined {event.room_id}", flush=True)
        if GREETING:
            # The key is that of the membership, so a repeated webhook does not greet again.
            uid = f"greet-{event.data.conferencecall_id}"
            roomkeeper.start_playback(event.room_id, body=models.Play(urls=[GREETING], command_uid=uid))
    elif isinstance(event, models.ConferenceMemberLeftEvent):
        print(f"{event.session_uuid} left {event.room_id}: {event.data.reason}", flush=True)


def all_pages(step, field):
    """The rows of all pages of a list."""
    cursor = ""
    while True:
        page = step(cursor=cursor)
        yield from getattr(page, field)
        cursor = page.cursor
        if not cursor:
            return


def place_waiting_calls():
    """Places calls that came while the application did not run."""
    for call in all_pages(roomkeeper.list_calls, "sessions"):
        if call.state == "parked":
            try:
                place(call)
            except ApiError as error:  # it may have ended, or be joining
                print(f"{call.uuid} was not placed: {error}", flush=True)


def register(url):
    """Makes the webhook endpoint, unless an earlier run has made it."""
    try:
        roomkeeper.create_webhook(body=models.WebhookRequest(url=url, events=EVENTS, secret=SECRET))
    except ApiError as error:
        if error.status != 409:
            raise


def rooms():
    """The rooms of the line with their members."""
    for room in all_pages(roomkeeper.list_rooms, "conferences"):
        if room.name.startswith("line-"):
            members = all_pages(lambda cursor: roomkeeper.list_members(room.room_id, cursor=cursor), "members")
            shown = [{"call": one.uuid, "caller_id": one.caller_id, "muted": one.muted} for one in members]
            yield {"room": room.room_id, "name": room.name, "locked": bool(room.locked), "members": shown}


def moderate(path):
    """Executes a moderator's request; returns `False` for an unknown path."""
    match path.strip("/").split("/"):
        case ["rooms", room, "lock"]:
            roomkeeper.lock_room(room)
        case ["rooms", room, "unlock"]:
            roomkeeper.unlock_room(room)
        case ["rooms", _, "members", call, "mute"]:
            roomkeeper.mute_member(call)
        case ["rooms", _, "members", call, "unmute"]:
            roomkeeper.unmute_member(call)
        case ["rooms", room, "members", call, "kick"]:
            roomkeeper.kick_member(room, call)
        case _:
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        if self.path == "/hook":
            return self.answered(lambda: handle(verifier.verify(body, self.headers)))
        return self.moderated(lambda: None if moderate(self.path) else 404)

    def do_GET(self):
        self.moderated(lambda: list(rooms()) if self.path == "/rooms" else 404)

    def moderated(self, step):
        given = self.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {TOKEN}".encode()):
            return self.answer(401)
        return self.answered(step, is_webhook=False)

    def answered(self, step, is_webhook=True):
        try:
            done = step()
        except WebhookVerificationError:
            return self.answer(401)
        except WebhookFormatError:
            return self.answer(400)
        except httpx.TransportError:
            return self.answer(503)
        except ApiError as error:
            if is_webhook:
                # After a 503 Roomkeeper sends the webhook again; another refusal means that the call has gone.
                return self.answer(503 if error.is_temporary else 204)
            return self.answer(error.status, {"error": error.error})
        return self.answer(done) if isinstance(done, int) else self.answer(204 if done is None else 200, done)

    def answer(self, status, body=None):
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9999"))), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Calls that come from here on are reported; those before are placed.
    register(f"{url}/hook")
    place_waiting_calls()
    print(f"listening on {url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
