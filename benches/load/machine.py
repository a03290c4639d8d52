"""Processes, ports, CPU time and wrk: everything that touches the machine."""

import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PROXY_CORE, LOAD_CORE = "0", "1"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class RigError(Exception):
    """Something the comparison cannot go on without."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_core(core: str, command: list) -> list:
    """The command pinned to one core, where the machine has that core and taskset."""
    pinned = int(core) in os.sched_getaffinity(0)
    return (["taskset", "-c", core] if pinned else []) + [str(word) for word in command]


class Processes:
    """All that was started; ends it on the way out, whatever happened."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, core: str, command: list, port: int, env: dict | None = None) -> int:
        """Starts a server and returns its PID once it accepts connections on `port`."""
        log = self.folder / f"{name}.log"
        with open(log, "ab") as output:
            process = subprocess.Popen(
                on_core(core, command), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.folder, env={**os.environ, **(env or {})},
            )
        self.running.append(process)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RigError(f"{name} ended with {process.returncode}: {tail(log)}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return process.pid
            except OSError:
                time.sleep(0.05)
        raise RigError(f"{name} does not listen on {port}: {tail(log)}")


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-600:].strip()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its living children, all threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError as gone:
        raise RigError(f"process {pid} ended during the measurement") from gone
    own = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return own + sum(cpu_seconds(int(child)) for child in children)


@dataclass
class Measurement:
    requests: int
    requests_per_second: float
    cpu_microseconds: float  # of the proxy, per request
    p50_microseconds: float
    p99_microseconds: float
    failed: int  # replies that are no 2xx, and broken connections


def measure(pid: int, url: str, seconds: int, script: Path | None, headers: list) -> Measurement:
    """One wrk run against a server, with the CPU time that the server spent on it."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency"]
    for header in headers:
        command += ["-H", header]
    command += ["-s", str(script)] if script else []
    before = cpu_seconds(pid)
    run = subprocess.run(on_core(LOAD_CORE, [*command, url]), capture_output=True, text=True, timeout=seconds + 30)
    spent = cpu_seconds(pid) - before
    return read_wrk(run.stdout + run.stderr, spent)


def read_wrk(text: str, spent: float) -> Measurement:
    total = re.search(r"(\d+) requests in", text)
    if not total or int(total[1]) == 0:
        raise RigError(f"wrk got no replies: {text.strip()[-400:]}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Measurement(
        requests=int(total[1]),
        requests_per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        cpu_microseconds=spent * 1e6 / int(total[1]),
        p50_microseconds=latency(text, "50%"),
        p99_microseconds=latency(text, "99%"),
        failed=(int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0),
    )


def latency(text: str, percentile: str) -> float:
    value, unit = re.search(rf"^\s+{percentile}\s+([\d.]+)(us|ms|s)", text, re.M).groups()
    return float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
