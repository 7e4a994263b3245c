#!/usr/bin/env python3
"""Runs schemathesis against a controller, by the document that it serves, and reports the result.

Owns the processes: a simulated node with calls that keep coming in, a controller on a store in memory without limits,
and rounds of schemathesis until it has sent enough requests. Fails if schemathesis finds an answer that the document
does not allow, if any answer is 5xx, or if too few answers are successful. The controller's metrics count the answers;
only schemathesis sends requests that they count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
NODE, PASSWORD = "acW68", "schema-node"
ADMIN_KEY = "schema-admin-key"
APP, KEY = "demo", "schema-key"
CALLS = 100
TIMEOUT = 20.0
GOOD_SHARE = 0.30
COUNTED = re.compile(r"^roomkeeper_http_requests_total\{(?P<labels>.*)\} (?P<count>\d+)$", re.M)

CONFIGURATION = """
[http]
listen = "127.0.0.1:{http}"
admin_listen = "127.0.0.1:{admin}"
admin_key = "{admin_key}"
[store]
url = "memory:"
[limits]
app_rate = 0
cooldowns = false
[play]
allow_private = true
[[nodes]]
id = "{node}"
address = "{address}"
password = "{password}"
[[apps]]
id = "{app}"
api_key = "{key}"
"""


class Callers:
    """Calls on the node. A call that ends is replaced."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        self._lines = self._socket.makefile("rb")
        self._read()
        self._say(f"auth {PASSWORD}")
        self.placed = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="callers", daemon=True)
        self.failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(TIMEOUT)
        self._socket.close()

    def _run(self) -> None:
        try:
            while not self._ended.wait(0.1):
                self._fill()
        except (OSError, ValueError) as failure:
            self.failure = failure

    def _fill(self) -> None:
        rows = json.loads(self._say("api show channels as json")).get("rows", [])
        # Each call is a pair of legs, of which the outbound one is ours.
        living = sum(row["direction"] == "outbound" for row in rows)
        for _ in range(CALLS - living):
            self.placed += 1
            number = f"52711{self.placed:05}"
            variables = f"origination_uuid={uuid.uuid4()},roomkeeper_app={APP},origination_caller_id_number={number}"
            self._say(f"bgapi originate {{{variables}}}loopback/747713001/default &park")

    def _say(self, command: str) -> str:
        self._socket.sendall(f"{command}\n\n".encode())
        return self._read()

    def _read(self) -> str:
        length = 0
        while (line := self._lines.readline()) != b"\n":
            if not line:
                raise OSError("the node has closed the connection")
            if line.startswith(b"Content-Length: "):
                length = int(line.split()[1])
        return self._lines.read(length).decode()


@contextlib.contextmanager
def process(arguments: list[str | Path], log: Path | int) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with this one, also when this one is killed."""
    out = log if isinstance(log, int) else log.open("w")
    errors = subprocess.STDOUT if isinstance(log, Path) else None
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *map(str, arguments)], stdout=out, stderr=errors, text=True
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def ask(url: str) -> str:
    request = urllib.request.Request(url, headers={"X-Admin-API-Key": ADMIN_KEY})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        text: str = answer.read().decode()
        return text


def wait_for_node(admin: str) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        with contextlib.suppress(OSError):
            node = json.loads(ask(f"{admin}/admin/nodes"))["nodes"][0]
            if node["synced"] and node["link"] == "up":
                return
        if time.monotonic() > end:
            raise TimeoutError("the controller has not synced its node")
        time.sleep(0.05)


def answered(admin: str) -> dict[str, Counter[int]]:
    """Returns the count of each status by operation, from the controller's metrics, without those of the document."""
    statuses: dict[str, Counter[int]] = {}
    for line in COUNTED.finditer(ask(f"{admin}/metrics")):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line["labels"]))
        if labels["route"].startswith("/api/") or labels["route"] == "none":
            operation = f"{labels['method']} {labels['route']}"
            statuses.setdefault(operation, Counter())[int(labels["status"])] += int(line["count"])
    return statuses


def without_good_answer(operations: dict[str, Counter[int]]) -> list[str]:
    """Returns the existing operations without a successful answer."""
    real = {name: statuses for name, statuses in operations.items() if statuses.keys() - {404, 405}}
    return sorted(name for name, statuses in real.items() if all(status >= 300 for status in statuses))


def one_round(schemathesis: Path, api: str, seed: int, examples: int, scratch: Path) -> bool:
    """Runs schemathesis once. Returns true if every answer fits the document."""
    environment = {
        "ROOMKEEPER_SCHEMA_SEED": str(seed),
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = [str(schemathesis.absolute()), "--config-file", str(HERE / "schemathesis.toml")]
    arguments += ["run", f"{api}/openapi.json", "--seed", str(seed), "--max-examples", str(examples), "--no-color"]
    arguments += ["--header", f"X-App-ID: {APP}", "--header", f"X-API-Key: {KEY}"]
    done = subprocess.run(arguments, env=os.environ | environment, cwd=scratch)
    return done.returncode == 0


def classes(statuses: Counter[int]) -> str:
    by_class: Counter[int] = Counter()
    for status, count in statuses.items():
        by_class[status // 100] += count
    return ", ".join(f"{n}xx: {by_class[n]}" for n in sorted(by_class | Counter([2, 4, 5])))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--binary", type=Path, required=True, help="the controller")
    arguments.add_argument("--schemathesis", type=Path, required=True, help="the program of that name")
    arguments.add_argument("--requests", type=int, default=5000, help="how many at least")
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the first round")
    arguments.add_argument("--examples", type=int, default=60, help="of each operation, in a round")
    options = arguments.parse_args()

    with contextlib.ExitStack() as running:
        scratch = Path(running.enter_context(tempfile.TemporaryDirectory()))
        node = running.enter_context(
            process([options.binary, "sim", "--listen", "127.0.0.1:0", "--password", PASSWORD], subprocess.PIPE)
        )
        assert node.stdout is not None
        address = node.stdout.readline().split()[-1]
        http, admin_port = free_port(), free_port()
        api, admin = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{admin_port}"
        configuration = scratch / "roomkeeper.toml"
        configuration.write_text(
            CONFIGURATION.format(
                http=http,
                admin=admin_port,
                admin_key=ADMIN_KEY,
                node=NODE,
                address=address,
                password=PASSWORD,
                app=APP,
                key=KEY,
            )
        )
        log = scratch / "log"
        controller = running.enter_context(process([options.binary, "serve", "--config", configuration], log))
        wait_for_node(admin)
        callers = Callers(address)
        callers.start()
        running.callback(callers.stop)

        statuses, rounds, conforms = Counter[int](), 0, True
        operations: dict[str, Counter[int]] = {}
        while conforms and statuses.total() < options.requests:
            conforms = one_round(options.schemathesis, api, options.seed + rounds, options.examples, scratch)
            rounds += 1
            operations = answered(admin)
            statuses = sum(operations.values(), Counter())
        lives = controller.poll() is None
        complaints = [line for line in log.read_text().splitlines() if re.search(r"\b(WARN|ERROR)\b|panicked", line)]

    total, good = statuses.total(), sum(count for status, count in statuses.items() if status // 100 == 2)
    share = good / max(total, 1)
    print(f"\n{total} requests in {rounds} rounds from seed {options.seed} on; {callers.placed} calls came in")
    print(f"{classes(statuses)}; {share:.0%} were 2xx")
    print("each status:", ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    print("never answered 2xx:", ", ".join(without_good_answer(operations)) or "none")
    wrong = {
        "schemathesis found what the document does not allow": not conforms,
        "something was answered 5xx": any(status >= 500 for status in statuses),
        f"fewer than {options.requests} requests": total < options.requests,
        f"fewer than {GOOD_SHARE:.0%} of the answers were 2xx": share < GOOD_SHARE,
        "the controller has ended": not lives,
        f"no more calls came in: {callers.failure}": callers.failure is not None,
    }
    for what in (what for what, is_so in wrong.items() if is_so):
        print(f"FAILED: {what}", file=sys.stderr)
    if any(wrong.values()):
        print("\n".join(["The controller's own complaints, the last of them:", *complaints[-40:]]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
