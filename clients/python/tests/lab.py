"""`roomkeeper lab` for tests, on free ports, and what stands between it and a client."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

PATIENCE = 30.0
ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("ROOMKEEPER_BINARY", str(ROOT / "target" / "debug" / "roomkeeper"))
APP, KEY = "demo", "lab-key"


class Lab:
    """A running lab; it ends with the test."""

    def __init__(self) -> None:
        self._state = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [BINARY, "lab", "--port", "0", "--admin-port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"XDG_STATE_HOME": self._state.name},
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.url = ""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            if line.strip().startswith("API "):
                self.url = line.split()[1]
            if "Ctrl-C ends the lab" in line:
                return
        raise RuntimeError("the lab has ended")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._state.cleanup()


class Proxy:
    """Passes connections on, and cuts them on request."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        #: The number of connections so far.
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            with self._lock:
                self.connections += 1
                self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def cut(self) -> None:
        """Cut all connections; new ones are accepted."""
        with self._lock:
            for one in self._open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()
            self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()
