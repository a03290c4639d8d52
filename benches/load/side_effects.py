#!/usr/bin/env python3
"""What requests with a cached token feel of things that happen beside them:

* a flood of wrong secrets of an imported client, each of which costs an argon2id check;
* a million revoked tokens;
* ten thousand connections that have carried a request and wait for their next one.

Each is measured with and without, interleaved, by wrk against one gateway on one core. Prints a table and writes nothing.
"""

import argparse
import base64
import os
import resource
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
import tokens
from machine import LOAD_CORE, Processes, RigError, measure, on_core
from rig import DEFAULT_CACHE, await_ready, bearer

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS_PER_RUN = int(os.environ.get("SECONDS_PER_RUN", "3"))
REVOKED = 1_000_000
IDLE = 10_000
# Of `correct horse`, m=19456, t=2, p=1: what is recommended for new hashes, some tens of milliseconds a check.
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZS1zYWx0LTE2Ynl0ZQ$n/pTWOEo10PDv1pEK4RRc1nJ6Mrx9YR7ubz84+KQ/3o"


class Gateway:
    """A gateway with one client and one token of it."""

    def __init__(self, processes: Processes, name: str, binary: Path, upstream: int):
        self.processes = processes
        self.files = peers.configure_gateway(processes.folder, binary, name, "ES256", upstream, DEFAULT_CACHE)
        with open(self.files.configuration, "a") as configuration:
            # The flood must reach the checks, not the limit that would stop it.
            limit = "1000000/1s"
            configuration.write(f"limits: {{token_failures: {{per_client: {limit}, per_address: {limit}}}}}\n")
        self.client = tokens.add_client(binary, self.files.configuration, self.files.port)

    def start(self):
        self.server = self.files.start(self.processes, await_ready)
        self.token = self.client.tokens(1)[0]
        return self

    def measured(self):
        url = f"http://127.0.0.1:{self.server.port}{peers.PATH}"
        return measure(self.server.pid, url, SECONDS_PER_RUN, None, bearer(self.token))

    def resident(self) -> float:
        """MiB"""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def import_client(gateway: Gateway, binary: Path) -> str:
    file = gateway.files.configuration.with_name("hash")
    file.write_text(HASH)
    command = [binary, "client", "import", "--id", "imported", "--customer", tokens.CUSTOMER,
               "--secret-hash", file, "-c", gateway.files.configuration]
    subprocess.run(command, check=True, timeout=30)
    return "Basic " + base64.b64encode(b"imported:wrong").decode()


def flood(gateway: Gateway, authorization: str) -> subprocess.Popen:
    script = gateway.processes.folder / "flood.lua"
    script.write_text(f"""wrk.method = "POST"
wrk.body = "grant_type=client_credentials"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "{authorization}"
function delay() return 5 end
""")
    url = f"http://127.0.0.1:{gateway.server.port}/v1/oauth2/token"
    command = ["wrk", "-t1", "-c32", f"-d{SECONDS_PER_RUN + 2}s", "-s", str(script), url]
    return subprocess.Popen(on_core(LOAD_CORE, command), stdout=subprocess.PIPE, text=True)


def compare_flood(processes: Processes, binary: Path, upstream: int) -> None:
    gateway = Gateway(processes, "scopegate-flood", binary, upstream)
    authorization = import_client(gateway, binary)
    gateway.start()
    rows = {"quiet": [], "flooded": []}
    for _ in range(ROUNDS):
        rows["quiet"].append(gateway.measured())
        attack = flood(gateway, authorization)
        time.sleep(1)
        rows["flooded"].append(gateway.measured())
        print(" ", [line.strip() for line in attack.communicate()[0].splitlines() if "requests in" in line][0], "(flood)")
    show("a flood of wrong imported secrets", rows)


def compare_revoked(processes: Processes, binary: Path, upstream: int) -> None:
    plain = Gateway(processes, "scopegate-plain", binary, upstream)
    heavy = Gateway(processes, "scopegate-revoked", binary, upstream)
    revoke_many(heavy.files.configuration.with_name("scopegate.db"))
    before = time.monotonic()
    plain.start()
    heavy.start()
    print(f"  both started in {time.monotonic() - before:.1f} s; resident: {plain.resident():.0f} MiB, "
          f"{heavy.resident():.0f} MiB with {REVOKED:,} revoked tokens")
    rows = {"none": [], "a million": []}
    for _ in range(ROUNDS):
        rows["none"].append(plain.measured())
        rows["a million"].append(heavy.measured())
    show("revoked tokens", rows)


def revoke_many(database: Path) -> None:
    until = int(time.time()) + 3600
    with sqlite3.connect(database) as store:
        rows = ((f"{number:022x}", until) for number in range(REVOKED))
        store.executemany("INSERT INTO revoked_tokens (id, until) VALUES (?, ?)", rows)
        store.execute("UPDATE revision SET number = number + 1, tokens = tokens + 1")


def compare_idle(processes: Processes, binary: Path, upstream: int) -> None:
    # Each connection is a descriptor here, and one there.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    gateway = Gateway(processes, "scopegate-idle", binary, upstream).start()
    before = gateway.resident()
    rows = {"none": [gateway.measured() for _ in range(ROUNDS)], "waiting": []}
    waiting = []
    for _ in range(IDLE):
        connection = socket.create_connection(("127.0.0.1", gateway.server.port), timeout=10)
        connection.sendall(request(gateway))
        reply = connection.recv(65536)
        if not reply.startswith(b"HTTP/1.1 200"):
            raise RigError(f"an idle connection was not served: {reply[:60]}")
        waiting.append(connection)
    print(f"  resident: {before:.0f} MiB at the start, {gateway.resident():.0f} MiB with {len(waiting):,} idle connections")
    rows["waiting"] = [gateway.measured() for _ in range(ROUNDS)]
    for connection in waiting:
        connection.close()
    show("idle connections", rows)


def request(gateway: Gateway) -> bytes:
    lines = [f"GET {peers.PATH} HTTP/1.1", "Host: 127.0.0.1", *bearer(gateway.token)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def show(what: str, rows: dict) -> None:
    print(what)
    for name, measured in rows.items():
        middle = lambda pick: statistics.median(pick(row) for row in measured)
        print(f"  {name:10} p50 {middle(lambda row: row.p50_microseconds):8.0f} us   p99 "
              f"{middle(lambda row: row.p99_microseconds):8.0f} us   CPU {middle(lambda row: row.cpu_microseconds):6.1f} us "
              f"a request   {middle(lambda row: row.requests_per_second):8.0f}/s   "
              f"failed {sum(row.failed for row in measured)}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--target", type=Path, default=Path("target"), help="cargo's target folder")
    binary = arguments.parse_args().target.resolve() / "release" / "scopegate"
    with tempfile.TemporaryDirectory(prefix="scopegate-load-") as folder, Processes(Path(folder)) as processes:
        upstream = peers.start_upstream(processes)
        compare_flood(processes, binary, upstream)
        compare_revoked(processes, binary, upstream)
        compare_idle(processes, binary, upstream)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RigError as problem:
        print(f"bench-side-effects: {problem}", file=sys.stderr)
        sys.exit(1)
