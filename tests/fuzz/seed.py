#!/usr/bin/env python3
"""Makes the corpora of the fuzz targets.

- parser: from the recordings, each kind of message once, alone and with the message that follows it, in several cuts
- snapshot: FreeSWITCH's lists in the recordings
- records: rooms, calls, memberships and recordings as they are stored

From the repository:

    python3 tests/fuzz/seed.py
    cargo install cargo-fuzz
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz parser -- -max_total_time=120

With RUSTC_BOOTSTRAP a stable compiler accepts the sanitizer's flags.
"""

import hashlib
import itertools
import json
import pathlib
import re
import string

HERE = pathlib.Path(__file__).parent
CUTS = [b"\x00", b"\x01\x01", b"\x03\x07\x01\xff", b"\x02\x00\x40"]


def messages(data):
    at = 0
    while (end := data.find(b"\n\n", at)) >= 0:
        length = re.search(rb"Content-Length: (\d+)", data[at:end])
        stop = end + 2 + (int(length[1]) if length else 0)
        yield data[at:stop]
        at = stop


def kind(message):
    marks = rb'Content-Type: \S+|Event-Name\W+\w+|Action\W+[\w-]+|\n[+-]\w+|_body|ARRAY|":\['
    return tuple(re.findall(marks, message)[:6])


def corpus(target):
    path = HERE / "corpus" / target
    path.mkdir(parents=True, exist_ok=True)
    return path


def recordings(name):
    return sorted((HERE / "../../fixtures").glob(f"*/*/{name}"))


def parser():
    seeds = corpus("parser")
    seen = set()
    for path in recordings("*.esl"):
        before = b""
        for message in messages(path.read_bytes()):
            if kind(message) not in seen and len(message) < 16_000:
                seen.add(kind(message))
                cut = CUTS[len(seen) % len(CUTS)]
                (seeds / f"{len(seen):03}").write_bytes(cut + message)
                (seeds / f"{len(seen):03}-two").write_bytes(cut + before + message)
            before = message
    print(len(seen), "kinds of messages")


def snapshot():
    seeds = corpus("snapshot")
    shapes = set()
    for path in recordings("commands.esl"):
        for message in messages(path.read_bytes()):
            head, _, body = message.partition(b"\n\n")
            # The result of a job is the body of an event.
            body = body.rpartition(b"\n\n")[2] if b"event-plain" in head else body
            try:
                answer = json.loads(body)
            except ValueError:
                continue
            if b"event-json" in head:
                body = answer.get("_body", "").encode()
            if not body.lstrip().startswith((b"[", b"{")):
                continue
            # One of each shape: other ids and times make no other shape.
            shape = hashlib.sha256(re.sub(rb"[0-9a-f-]+", b"", body)).hexdigest()[:12]
            if shape not in shapes and len(body) < 30_000:
                shapes.add(shape)
                (seeds / shape).write_bytes(body)
    columns = ["uuid", "direction", "created_epoch", "application", "initial_cid_num", "initial_dest"]
    row = [LOCATED, "inbound", "1795342142", "park", "1001", "747713001"]
    for rows in range(3):
        lines = [columns] + rows * [row] if rows else []
        text = "".join("\x1f".join(line) + "\n" for line in lines)
        (seeds / f"table-{rows}").write_text(f"{text}\n{rows} total.\n")
    print(len(shapes), "shapes of answers")


ROOM = "acW68-room-00000000-0000-0000-0000-000000000001"
CORE, LIFE = "00000000-0000-0000-0000-000000000007", "00000000-0000-0000-0000-00000000cf01"
LOCATED = "aaaa0000-0000-8100-8000-00052040f50c"
OPERATION = "00000000-0000-0000-0000-000000000009"


def registrations():
    for origin, kind in itertools.product(["gateway", "voipbin"], ["conference", "connect"]):
        yield {"app": "demo", "name": "a room", "origin": origin, "created": 1, "kind": kind}
    beep, talk = {"type": "beep"}, {"type": "talk", "option": {"text": "hello"}}
    yield {
        "app": "demo", "name": "", "origin": "voipbin", "created": 1, "detail": "d", "data": {"a": [1.5, None]},
        "timeout": 60, "pre_actions": [beep, talk], "post_actions": [{"type": "sleep", "option": {"duration": 9}}],
    }


def runs():
    alive = {"lives": [[CORE, LIFE, 12]], "present": 1, "seq": 3, "updated": 4}
    empty = {"present": 0, "seq": 1}
    recording = {"id": LOCATED, "path": "/r/a.wav", "created": 1, "at": 13}
    yield {"status": "starting", **empty}
    yield {"status": "terminating", "deadline": 99, **alive}
    yield {"status": "terminated", "ended": 5, "recordings": [LOCATED], **empty}
    yield {"status": "progressing", "locked": True, **alive}
    for more in [
        {"status": "starting", "until": 9, "uid": "r-1"},
        {"status": "active", "started": 2},
        {"status": "stopping", "until": 9, "started": 2},
    ]:
        yield {"status": "progressing", "recording": {**recording, **more}, "recordings": [LOCATED], **alive}


def digits(text):
    """A UUID as packed records have it."""
    number, order = int(text.replace("-", ""), 16), sorted(string.ascii_letters + string.digits + "-_")
    return "".join(order[number >> 6 * place & 63] for place in reversed(range(22)))


def members():
    """Yields pairs of the constant and the changing record of a member."""
    who, flags = f"m{digits(LOCATED)}|f5|d7|t0", "g2|nB"
    stay = f"c{digits(CORE)}|k{digits(LIFE)}|oB"
    yield who, f"p1|{stay}|{flags}|U8|M|Xm-1"
    yield who, f"p1|{stay}|v|{flags}"
    yield who, f"p0|u8|xj-1|{flags}"
    for reason in ["", "0", "1", "2", "3", "4"]:
        yield who, f"p2|u8|e{reason}|{stay}|{flags}"


def calls():
    acts = {
        "id": OPERATION, "purpose": {"before": ROOM}, "at": 0, "begun_at": 1, "deadline": 9, "patience_ms": 300000,
        "steps": ["answer", {"talk": "hello"}, {"play": "http://1.1.1.1/a"}, "beep", {"sleep": 9}, "hangup"],
    }
    room = f"|r{digits(ROOM[11:])}"
    for answered, place in [
        ("", "p0"),
        ("|w1", "p1"),
        ("|w1", f"p3{room}"),
        ("|w1", f"p4{room}"),
        ("|w1", f"p5{room}"),
        ("|w1", "p5|Rothr1" + ROOM[5:]),
        ("", f"p2{room}|y{json.dumps(acts)}"),
        ("", f"p2|y{json.dumps({**acts, 'purpose': {'after': ROOM}, 'at': 3})}"),
        ("", "p6"),
    ]:
        yield f"app=demo\ncall=f5|d7|i|t0{answered}|s1\nplace=c{digits(CORE)}|{place}|nB"


def records():
    seeds = corpus("records")
    files = ["done", {"ready": -3}, "opening", "waiting", "refused", "not_sent", "not_opened", "unconfirmed"]
    play = {"ops": [[OPERATION, files]], "opening": [OPERATION, 2, 0, 9], "vol": 1, "paused": True}
    urls = [[OPERATION, [f"http://1.1.1.1/{n}" for n in range(len(files))]]]
    stays = [
        f"ademo|r{digits(ROOM[11:])}|s{digits(CORE)}|p{state}|c0{changed}"
        for state, changed in [("0", ""), ("1", "|u1"), ("2", "|u1"), ("3", "|u1")]
    ]
    shown = [
        {"a": "demo", "r": ROOM, "p": "/r/a.wav", "t": state, "c": 1, "u": 2, "b": 3, "e": 4, "l": 5}
        for state in ["starting", "recording", "ended", "failed"]
    ]
    texts = list(calls())
    texts += [f"view={view}" for view in stays + [json.dumps(view) for view in shown]]
    for registration, run in itertools.product(registrations(), runs()):
        head = f"reg={json.dumps(registration)}\nrun={json.dumps(run)}"
        texts.append(head)
    for (who, moves), run in itertools.product(members(), runs()):
        head = f"reg={json.dumps(next(registrations()))}\nrun={json.dumps(run)}"
        texts.append(f"{head}\nplay={json.dumps(play)}\nurls={json.dumps(urls)}\n{digits(CORE)}={who}\n{digits(CORE)}.={moves}")
    for n, text in enumerate(texts):
        (seeds / f"{n:03}").write_text(text)
    print(len(texts), "records")


parser()
snapshot()
records()
