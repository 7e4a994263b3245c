#!/usr/bin/env python3
"""Makes the corpus of the fuzz target from the recordings: each kind of message once, alone and with
the message that follows it, in several cuts. From the repository:

    python3 tests/fuzz/seed.py
    cargo install cargo-fuzz
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz parser -- -max_total_time=120

RUSTC_BOOTSTRAP lets a stable compiler take the sanitizer's flags.
"""

import pathlib
import re

HERE = pathlib.Path(__file__).parent
CORPUS = HERE / "corpus" / "parser"
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


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    seen = set()
    for path in sorted((HERE / "../../fixtures").glob("*/*/*.esl")):
        before = b""
        for message in messages(path.read_bytes()):
            if kind(message) not in seen and len(message) < 16_000:
                seen.add(kind(message))
                cut = CUTS[len(seen) % len(CUTS)]
                (CORPUS / f"{len(seen):03}").write_bytes(cut + message)
                (CORPUS / f"{len(seen):03}-two").write_bytes(cut + before + message)
            before = message
    print(len(seen), "kinds of messages")


main()
