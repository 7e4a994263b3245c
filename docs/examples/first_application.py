"""Puts each new call into a room of its own. Python 3.9 or later, standard library only."""
import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

API = os.environ.get("ROOMKEEPER_API", "http://127.0.0.1:8080") + "/api/v1"
HEADERS = {"X-App-ID": "demo", "X-API-Key": "lab-key", "Content-Type": "application/json"}
KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))

def is_genuine(headers, body):
    sent_at = headers.get("webhook-timestamp", "")
    signed = f"{headers.get('webhook-id')}.{sent_at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    is_recent = sent_at.isdecimal() and abs(time.time() - int(sent_at)) < 300
    given = headers.get("webhook-signature", "").encode().split()
    return is_recent and any(hmac.compare_digest(expected, one) for one in given)

def post(path, body):
    try:
        with urlopen(Request(API + path, json.dumps(body).encode(), HEADERS), timeout=4) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)

def handle(event):
    call, room = event.get("session_uuid"), event.get("room_id")
    if event["event"] == "conference.member.joined":
        print(f"call {call} joined room {room}", flush=True)
    if event["event"] != "call.new":
        return 204
    status, answer = post("/conferences", {"name": f"call-{call}", "session": call})
    room = answer.get("room_id") or answer.get("detail", {}).get("room_id")  # 409: made by an earlier attempt
    if room:
        status, _ = post(f"/sessions/{call}/commands/conference/join", {"room_id": room, "muted": False})
    return 503 if status == 429 or status >= 500 else 204  # after a 503 Roomkeeper sends the webhook again

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(handle(json.loads(body)) if is_genuine(self.headers, body) else 401)
        self.end_headers()

server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9999"))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}/hook", flush=True)
server.serve_forever()
