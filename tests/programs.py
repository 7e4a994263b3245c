#!/usr/bin/env python3
"""Builds the test programs of the workspace, and runs several of them at a time.

`cargo test` runs one program after the other. Most of them wait for timers and for other processes, so the processor is
idle half of the time. Every program runs as under `cargo test`: in the folder of its package, with its variables.

Usage: tests/programs.py [--jobs N] [--table FILE] [--only NAME]... -- CARGO-ARGUMENTS

The output of a program is printed when it ends. The exit code is 1 if a program failed, and that of cargo if the build did.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

# Programs that take longest start first, so that none of them runs alone at the end.
LONGEST_FIRST = ["walk", "faults", "hearing", "store_contract", "conformance", "console", "receivers", "scenarios", "reconciler", "store_routes"]

# Some tests need libraries that tests/run installs, so `cargo test` ignores them.
ARGUMENTS = {name: ["--include-ignored"] for name in ("receivers", "api_clients", "first_application")}


def build(arguments):
    """Builds; returns each test program as (name, path, folder of its package)."""
    command = ["cargo", "test", "--no-run", "--message-format=json-render-diagnostics", *arguments]
    programs = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as cargo:
        for line in cargo.stdout:
            message = json.loads(line)
            if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
                folder = pathlib.Path(message["manifest_path"]).parent
                target = message["target"]
                kind = "" if target["kind"] == ["test"] else f" ({target['kind'][0]})"
                programs.append((target["name"] + kind, message["executable"], folder))
    if cargo.returncode:
        sys.exit(cargo.returncode)
    return programs


def run(name, path, folder):
    """Runs one program; returns its exit code, its output and its seconds of wall and processor time."""
    started = time.monotonic()
    process = subprocess.Popen(
        [path, *ARGUMENTS.get(name, [])],
        cwd=folder,
        env={**os.environ, "CARGO_MANIFEST_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = process.stdout.read()
    # Counts the processes that the program started and waited for, too.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, output, time.monotonic() - started, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=3, help="programs at a time")
    parser.add_argument("--table", type=pathlib.Path, help="the file for the table of times")
    parser.add_argument("--only", action="append", default=[], help="run only this program")
    parser.add_argument("cargo", nargs="*", help="arguments for cargo, after --")
    options = parser.parse_args()

    programs = [entry for entry in build(options.cargo) if not options.only or entry[0] in options.only]
    if missing := set(options.only) - {name for name, _, _ in programs}:
        sys.exit("no such test program: " + ", ".join(sorted(missing)))
    rank = {name: place for place, name in enumerate(LONGEST_FIRST)}
    programs.sort(key=lambda entry: rank.get(entry[0], len(rank)))
    started, printing, rows, failed = time.monotonic(), threading.Lock(), [], []

    def run_and_print(entry):
        code, output, seconds, processor = run(*entry)
        with printing:
            sys.stdout.flush()
            sys.stdout.buffer.write(b"\n--- %s\n" % entry[0].encode() + output)
            sys.stdout.buffer.flush()
            result = "ok" if code == 0 else f"FAILED with code {code}"
            print(f"--- {entry[0]}: {result}, {seconds:.1f} s, {processor:.1f} s of processor time", flush=True)
            rows.append((seconds, processor, entry[0], result))
            if code:
                failed.append(entry[0])

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run_and_print, programs))
    rows.sort(reverse=True)
    table = "".join(f"{s:8.1f} s {p:8.1f} s of processor time  {name}: {result}\n" for s, p, name, result in rows)
    total = sum(row[0] for row in rows)
    table += f"{len(rows)} programs, {time.monotonic() - started:.0f} s; one after the other {total:.0f} s\n"
    print("\n" + table, end="")
    if options.table:
        options.table.write_text(table)
    if failed:
        print("failed: " + ", ".join(failed))
        sys.exit(1)


main()
