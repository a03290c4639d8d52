"""What is seen of the gateway from outside, once a second: its process, its metrics, its log."""

import http.client
import json
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import tokens
from machine import cpu_seconds
from stage import Stage

GAUGES = {"in_flight": "scopegate_in_flight_requests", "connections": "scopegate_open_connections"}
PANIC = b"panicked at"
ERRORS = re.compile(rb'"status":5\d\d')


@dataclass
class Sample:
    at: float
    resident: float  # MiB
    descriptors: int
    upstream: int  # connections to the servers behind
    cpu: float  # seconds since the start
    in_flight: int = -1
    connections: int = -1
    answer: float | None = None  # seconds for /readyz and /metrics, one after the other


class Watch(threading.Thread):
    """Takes samples until it is ended; what it cannot have is a problem as well."""

    def __init__(self, stage: Stage):
        super().__init__(name="watch", daemon=True)
        self.stage, self.log = stage, Log(stage.log)
        self.samples, self.problems = [], []
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(1):
            try:
                self.look()
            except Exception as problem:
                self.problems.append(f"watching: {type(problem).__name__} {problem}")

    def look(self) -> Sample:
        self.log.read()
        sample = process(self.stage)
        self.samples.append(sample)
        begin = time.monotonic()
        try:
            status, body = tokens.request(self.stage.admin_port, "/readyz")
            metrics_status, text = tokens.request(self.stage.admin_port, "/metrics")
        except (OSError, http.client.HTTPException) as problem:
            self.problems.append(f"/readyz and /metrics: {type(problem).__name__} {problem}")
            return sample
        if (status, metrics_status) != (200, 200):
            self.problems.append(f"/readyz answers {status} {body}, /metrics {metrics_status}")
            return sample
        sample.answer = time.monotonic() - begin
        for gauge, name in GAUGES.items():
            setattr(sample, gauge, int(float(re.search(rf"^{name} (\S+)", text, re.M)[1])))
        return sample

    def end(self):
        self.stopped.set()
        self.join()


def process(stage: Stage) -> Sample:
    home = Path(f"/proc/{stage.pid}")
    status = (home / "status").read_text()
    names = []
    for descriptor in os.listdir(home / "fd"):
        try:
            names.append(os.readlink(home / "fd" / descriptor))
        except FileNotFoundError:
            pass  # closed meanwhile
    return Sample(
        at=time.monotonic(),
        resident=int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024,
        descriptors=len(names),
        upstream=connections({stage.upstream_port, stage.socket_port}, set(names)),
        cpu=cpu_seconds(stage.pid),
    )


def connections(ports: set, sockets: set) -> int:
    """How many of a process's sockets lead to these ports, established or not yet closed on this side."""
    count = 0
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        count += int(fields[2].split(":")[1], 16) in ports and f"socket:[{fields[9]}]" in sockets
    return count


@dataclass
class Route:
    """What the access log says of one route."""

    statuses: dict = field(default_factory=dict)
    longest: float = 0.0  # seconds


class Log:
    """Reads the gateway's output once and frees the disk behind it."""

    def __init__(self, path: Path):
        self.path, self.offset = path, 0
        self.rest = b""
        self.panics = self.errors = self.lines = 0
        self.first_error = ""
        # Those that attackers ask for; a head that never came whole belongs to none.
        self.routes = {name: Route() for name in ("files", "upload", "")}

    def read(self):
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            text = file.read()
        self.offset += len(text)
        *lines, self.rest = (self.rest + text).split(b"\n")
        for line in lines:
            self.see(line)
        # A hole keeps the writer's place, so that no line is lost as it would be by emptying the file.
        if text:
            subprocess.run(["fallocate", "--punch-hole", "--offset", "0", "--length", str(self.offset), self.path],
                           check=False, capture_output=True)

    def see(self, line: bytes):
        self.lines += 1
        self.panics += PANIC in line
        if not line.startswith(b'{"time"'):
            return
        if ERRORS.search(line):
            self.errors += 1
            self.first_error = self.first_error or line.decode(errors="replace")
        if b'"route":"files"' in line or b'"route":"upload"' in line or b'"status":408' in line:
            self.count(json.loads(line))

    def count(self, entry: dict):
        route = self.routes.get(entry["route"], self.routes[""])
        route.statuses[entry["status"]] = route.statuses.get(entry["status"], 0) + 1
        route.longest = max(route.longest, entry["duration_ms"] / 1000)
