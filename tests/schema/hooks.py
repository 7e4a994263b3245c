"""Hooks of schemathesis: replace generated ids with those of existing objects.

The objects are known from the answers to schemathesis's own requests; the hooks send none. They replace valid values
only: a path, query or body that is invalid on purpose stays as generated.
"""

from __future__ import annotations

import os
import random
from threading import Lock
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase

# One in N generated ids stays, because callers also request objects that do not exist.
UNKNOWN = 10

# The number of latest objects that are remembered; older ones have probably ended.
KEPT = 200

# By address, because a name service may be missing; the simulated node plays any file.
FILES = [f"http://127.0.0.1/{name}.wav" for name in ("hello", "music", "a%20b")]

# Operations on a call in a room, on a room with members, and on a room that should be empty.
OF_MEMBERS = {"leaveRoom", "muteMember", "unmuteMember"}
OF_OCCUPIED = {
    "startPlayback",
    "pausePlayback",
    "stopPlayback",
    "setPlaybackVolume",
    "startRecording",
    "stopRecording",
    "startConferenceRecording",
    "stopConferenceRecording",
}
ENDING = {"deleteRoom", "deleteConference"}


class Living:
    """Rooms, calls and other objects that exist according to the answers so far.

    A call is stored with the room that it is in or joins.
    """

    def __init__(self, seed: str) -> None:
        self._lock = Lock()
        self._random = random.Random(seed)
        self._calls: dict[str, str | None] = {}
        self._rooms: dict[str, None] = {}
        # Memberships of the VoIPBIN API. Its other ids are those of rooms and calls without the node.
        self._stays: dict[str, None] = {}
        self._recordings: dict[str, None] = {}
        self._endpoints: dict[str, None] = {}
        self._webhooks: dict[str, None] = {}
        # Positions in the event stream, by the room of its filter.
        self._places: dict[str, str] = {}
        self._cursors: dict[str, str] = {}

    def any(self, what: str, operation: str = "") -> str | None:
        """Returns an id, preferably one that suits the operation; None to keep the generated one."""
        with self._lock:
            if self._random.randrange(UNKNOWN) == 0:
                return None
            if what in (others := self._others()):
                known = list(others[what])
                return self._random.choice(known) if known else None
            if what == "uuid":
                known = list(self._calls)
                fitting = [call for call, room in self._calls.items() if bool(room) == (operation in OF_MEMBERS)]
            else:
                known, occupied = list(self._rooms), set(self._calls.values())
                fitting = [room for room in known if room in occupied] if operation in OF_OCCUPIED else known
                if operation in ENDING:
                    fitting = [room for room in known if room not in occupied]
            if not known:
                return None
            one = self._random.choice(fitting or known)
            return bare(one) if what == "conference_id" else one

    def _others(self) -> dict[str, dict[str, None]]:
        """Returns the ids that suit all operations equally, by parameter."""
        return {
            "conferencecall_id": self._stays,
            "recording_id": self._recordings,
            "id": self._endpoints,
            "webhook_id": self._webhooks,
        }

    def place(self, room: str) -> str | None:
        with self._lock:
            return self._places.get(room)

    def streamed(self, room: str, text: str) -> None:
        """Records the position of a stream."""
        with self._lock:
            for line in text.splitlines():
                if line.startswith("id: "):
                    self._places[room] = line.removeprefix("id: ")

    def member(self) -> tuple[str, str] | None:
        """Returns a call and its room."""
        with self._lock:
            inside = [(call, room) for call, room in self._calls.items() if room]
            return self._random.choice(inside) if inside and self._random.randrange(UNKNOWN) else None

    def cursor(self, url: str) -> str | None:
        with self._lock:
            return self._cursors.get(url)

    def some_files(self) -> list[str]:
        with self._lock:
            return self._random.choices(FILES, k=self._random.randint(1, 3))

    def some_name(self, made: str) -> str:
        """Returns a name that is usually free: generated short names repeat."""
        with self._lock:
            return made if self._random.randrange(UNKNOWN) == 0 else f"{made[:54]}{self._random.randrange(10**10)}"

    def heard(self, operation: str, url: str, ids: dict[str, Any], status: int, answer: Any) -> None:
        """Records the objects of an answer."""
        call, room = str(ids.get("uuid")), str(ids.get("room_id"))
        with self._lock:
            if status == 404 and operation in OF_MEMBERS and call in self._calls:
                self._calls[call] = None
            elif status == 404 and operation != "joinRoom":
                self._calls.pop(call, None)
                self._rooms.pop(room, None)
            if status >= 300 or not isinstance(answer, dict):
                return
            for row in answer.get("conferences", []):
                self._keep(self._rooms, row["room_id"], None)
            for row in answer.get("sessions", []):
                self._keep(self._calls, row["uuid"], row["room_id"])
            if operation in ("createConferencecall", "getConferencecall"):
                self._keep(self._stays, answer["id"], None)
            if operation in ("startRecording", "startConferenceRecording"):
                self._keep(self._recordings, answer["recording_id"], None)
            if operation == "listConferencecalls":
                for row in answer["result"]:
                    self._keep(self._stays, row["id"], None)
            if answer.get("next_page_token"):
                self._cursors[url] = answer["next_page_token"]
            if answer.get("cursor"):
                self._cursors[url] = answer["cursor"]
            if operation == "createWebhook":
                self._keep(self._endpoints, answer["id"], None)
            elif operation == "deleteWebhook":
                self._endpoints.pop(str(ids.get("id")), None)
            elif operation in ("testWebhook", "resendDelivery"):
                self._keep(self._webhooks, answer["id"], None)
            for row in answer.get("deliveries", []):
                self._keep(self._webhooks, row["id"], None)
            if operation == "createRoom":
                self._keep(self._rooms, answer["room_id"], None)
            elif operation == "deleteRoom":
                self._rooms.pop(room, None)
                self._calls = {call: at if at != room else None for call, at in self._calls.items()}
            elif operation == "hangUpCall":
                self._calls.pop(call, None)
            elif operation == "joinRoom":
                self._keep(self._calls, call, answer["room_id"])
            elif operation in ("leaveRoom", "kickMember"):
                self._keep(self._calls, call, None)

    @staticmethod
    def _keep(known: dict[str, Any], one: str, value: str | None) -> None:
        known.pop(one, None)
        known[one] = value
        while len(known) > KEPT:
            del known[next(iter(known))]


LIVING = Living(os.environ["ROOMKEEPER_SCHEMA_SEED"])


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    operation = operation_of(case)
    if is_good(case, ParameterLocation.PATH) and not is_linked(case):
        for what in case.path_parameters:
            case.path_parameters[what] = LIVING.any(what, operation) or case.path_parameters[what]
        if operation in ("kickMember", "moveMember") and (member := LIVING.member()):
            case.path_parameters["uuid"], case.path_parameters["room_id"] = member
    if is_linked(case) and not str(case.path_parameters.get("webhook_id", "msg_")).startswith("msg_"):
        # By the parameter's name, schemathesis takes the id of an endpoint.
        case.path_parameters["webhook_id"] = LIVING.any("webhook_id") or f"msg_{0:032x}"
    if operation == "streamEvents" and is_good(case, ParameterLocation.HEADER):
        # A position cannot be generated, and belongs to the filter of the stream.
        place = LIVING.place(str((case.query or {}).get("room_id")))
        if place is None or "Last-Event-ID" not in case.headers:
            case.headers.pop("Last-Event-ID", None)
        else:
            case.headers["Last-Event-ID"] = place
    if is_good(case, ParameterLocation.QUERY):
        for what in {"cursor", "page_token"} & set(case.query):
            # A cursor is signed, so it cannot be generated.
            cursor = LIVING.cursor(list_of(case))
            if cursor is None:
                del case.query[what]
            else:
                case.query[what] = cursor
    if is_good(case, ParameterLocation.BODY) and isinstance(case.body, dict):
        revive(case.body)


def revive(body: dict[str, Any]) -> None:
    if isinstance(body.get("room_id"), str):
        body["room_id"] = LIVING.any("room_id") or body["room_id"]
    if isinstance(body.get("session"), str):
        body["session"] = LIVING.any("uuid") or body["session"]
        body.pop("node", None)
    if isinstance(body.get("urls"), list):
        body["urls"] = LIVING.some_files()
    if isinstance(body.get("url"), str):
        # No receiver answers. The document cannot express that the host must be public.
        body["url"] = f"https://example.com/{LIVING.some_name('hook')}"
    if isinstance(body.get("name"), str):
        body["name"] = LIVING.some_name(body["name"])
    if isinstance(body.get("conference_id"), str):
        body["conference_id"] = LIVING.any("conference_id") or body["conference_id"]
    if isinstance(body.get("reference_id"), str):
        call = LIVING.any("uuid")
        body["reference_id"] = bare(call) if call else body["reference_id"]
    for actions in ("pre_actions", "post_actions"):
        for action in body.get(actions) or []:
            feasible(action)


def feasible(action: dict[str, Any]) -> None:
    """Replaces values whose rules the document cannot express: the order of actions, files and texts."""
    action.pop("id", None)
    action.pop("next_id", None)
    option = action.get("option") or {}
    if isinstance(option.get("stream_urls"), list):
        option["stream_urls"] = LIVING.some_files()
    if isinstance(option.get("text"), str):
        option["text"] = "Hello, and welcome."
    if isinstance(option.get("duration"), (int, float)):
        # A call that waits for long tests nothing.
        option["duration"] = option["duration"] % 50


def bare(one: str) -> str:
    """Returns the UUID at the end of an id."""
    return one[-36:]


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    if operation_of(case) == "streamEvents" and response.status_code == 200:
        LIVING.streamed(str((case.query or {}).get("room_id")), response.text)
        return
    try:
        answer = response.json()
    except ValueError:
        answer = None
    LIVING.heard(operation_of(case), list_of(case), case.path_parameters, response.status_code, answer)


def list_of(case: Case[Any]) -> str:
    """Returns the list that a page belongs to, with its filter."""
    return f"{case.formatted_path} {(case.query or {}).get('conference_id')}"


def operation_of(case: Case[Any]) -> str:
    return str(case.operation.definition.raw.get("operationId", ""))


def is_good(case: Case[Any], where: ParameterLocation) -> bool:
    """Returns true if this part of a request was generated as valid."""
    if case.meta is None:
        return False
    made = case.meta.components.get(where)
    # An example of the document has no generation mode.
    return made.mode == GenerationMode.POSITIVE if made else case.meta.phase.name == TestPhase.EXAMPLES


def is_linked(case: Case[Any]) -> bool:
    """Returns true if the path comes from an earlier answer."""
    return case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL
