#!/usr/bin/env python3
"""Ten minutes of good traffic, slow, rude and crowding clients and an operator at work, and what held.

`make soak` builds and installs what this needs. The gateway has core 0, everybody else core 1. Each attack comes in every
round, with a quiet window after it. Environment: SOAK_SECONDS (600; at least 150).
"""

import argparse
import datetime
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import attacks
import peers
import promises
import report
import stage
import tokens
from echoes import Echoes
from machine import LOAD_CORE, Processes, RigError, measure
from promises import Window
from rig import token_script
from visitors import FAILURES, Course, Http2, Issuing, Operator, stand_back
from watch import Watch

RESULTS = Path(__file__).resolve().parent.parent / "results"
SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
SHORTEST, KEPT_FROM = 150, 600
CLIENTS, TOKENS = 4, 200
ATTACKS = ("slow heads", "slow bodies", "slow readers", "vanishing clients", "crowds")
WARM_UP, AFTERWARDS = 15, 25
QUIET_SHARE = 0.35
LAST_WORDS = 20


@dataclass
class Shutdown:
    asked: int = 0
    whole: int = 0
    code: int | None = None
    seconds: float = 0.0


@dataclass
class Run:
    """A soak: what takes part and what was measured."""

    stage: stage.Stage
    course: Course
    watch: Watch
    token: str = ""
    script: Path | None = None
    windows: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    slow: dict = field(default_factory=lambda: {kind: attacks.Slow() for kind in attacks.KINDS})
    vanished: attacks.Vanished = field(default_factory=attacks.Vanished)
    crowds: attacks.Crowds = field(default_factory=attacks.Crowds)
    shutdown: Shutdown = field(default_factory=Shutdown)

    def prepare(self) -> None:
        """Tokens, and a cache filled by them, before anything is measured."""
        distinct = [token for client in self.stage.clients for token in client.tokens(TOKENS // CLIENTS)]
        self.token = distinct[0]
        self.script = self.stage.folder / "tokens.lua"
        # Requests with pauses between: the latency of a saturated gateway would be that of its queue.
        self.script.write_text(token_script(distinct) + "delay = function() return math.random(20, 60) end\n")
        for token in self.stage.clients[0].tokens(stage.CACHE_ENTRIES):
            tokens.request(self.stage.port, "/oauth2/userinfo", token)
        await_idle(self)
        self.base = self.watch.look()

    def begin(self) -> None:
        self.echoes = Echoes(self.course, self.stage, self.token)
        self.issuing, self.operator = Issuing(self.course, self.stage), Operator(self.course, self.stage)
        self.http2 = Http2(self.course, self.stage, self.token)
        self.course.room.set()
        for thread in self.threads():
            thread.start()

    def threads(self) -> list:
        return [self.echoes, self.issuing, self.operator, self.http2]

    def window(self, name: str, number: int, seconds: float, attack=None) -> None:
        """wrk all the while, and the attack from a second later on, when wrk's connections stand."""
        thread = threading.Thread(target=self.guarded, args=(name, attack, seconds - 2), daemon=True)
        begin = time.monotonic()
        if attack:
            thread.start()
        measured = measure(self.stage.pid, self.stage.url(peers.PATH), round(seconds), self.script, [])
        end = time.monotonic()
        if attack:
            thread.join()
        self.windows.append(Window(name, number, begin, end, measured))
        seen = f"{measured.requests:,} requests, {measured.failed} failed, p99 {measured.p99_microseconds / 1000:.1f} ms"
        print(f"{self.course.clock()}, round {number}, {name}: {seen}", file=sys.stderr)

    def guarded(self, name: str, attack, seconds: float) -> None:
        stand_back()
        time.sleep(1)
        try:
            attack(seconds)
        except FAILURES as problem:
            self.problems.append(f"{self.course.clock()} {name}: {type(problem).__name__} {problem}")

    def attack(self, name: str):
        if name.startswith("slow "):
            kind = name.removeprefix("slow ")
            return lambda seconds: attacks.slowly(self.course, self.stage, kind, seconds, self.slow[kind])
        if name == "crowds":
            return lambda _: attacks.sit(self.course, self.stage, self.crowds)
        return lambda seconds: attacks.vanish(self.course, self.stage, self.token, seconds, self.vanished)

    def rounds(self) -> None:
        count = 3 if SECONDS >= 450 else 2
        slot = (SECONDS - WARM_UP - AFTERWARDS) / count / len(ATTACKS)
        self.window("quiet", 0, WARM_UP)
        for number in range(1, count + 1):
            for name in ATTACKS:
                self.window(name, number, slot * (1 - QUIET_SHARE), self.attack(name))
                self.window("quiet", number, slot * QUIET_SHARE)

    def settle(self) -> None:
        """Everybody leaves."""
        self.course.ended.set()
        for thread in self.threads():
            thread.join(timeout=30)
        self.watch.end()
        await_idle(self)
        self.last = self.watch.look()

    def stop(self) -> None:
        """SIGTERM while a slow server answers."""
        replies = []
        ask = lambda: replies.append(reply_length(self.stage.port))
        callers = [threading.Thread(target=ask, daemon=True) for _ in range(LAST_WORDS)]
        for caller in callers:
            caller.start()
        time.sleep(1)
        begin = time.monotonic()
        process = self.stage.process
        process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join(timeout=promises.SHUTDOWN)
        try:
            self.shutdown.code = process.wait(timeout=promises.SHUTDOWN)
        except subprocess.TimeoutExpired:
            pass  # the promise shows it: no code
        self.shutdown.seconds = time.monotonic() - begin
        self.shutdown.asked, self.shutdown.whole = LAST_WORDS, replies.count(stage.SLOW_FILE)


def reply_length(port: int) -> int:
    try:
        status, body = tokens.request(port, stage.SLOW)
    except FAILURES:
        return 0
    return len(body) if status == 200 else 0


def await_idle(run: Run) -> None:
    """Until pooled connections to the upstreams have had their time; whether all are gone is looked at afterwards."""
    stage.within(stage.UPSTREAM_IDLE + 10, lambda: stage_is_empty(run))


def stage_is_empty(run: Run) -> bool:
    sample = run.watch.look()
    return (sample.in_flight, sample.connections, sample.upstream) == (0, 0, 0)


def page(rows: list, took: float, load: float) -> str:
    broken = sum(not row.held for row in rows)
    lines = [
        f"# Soak, {datetime.date.today()}", "",
        f"{took:.0f} s of good traffic (wrk, h2load over TLS, token requests, WebSockets), attacks in rounds (slowhttptest -H,",
        "-B, -X, clients that vanish, crowds of idle ones) and an operator at work. The gateway has one core, everybody else",
        f"another. Load of the machine before the start: {load:.1f}, that of others included.",
        f"Machine: {report.cpu_model()}, Linux {platform.release()}.", "",
        "| promise | measured | |", "|---|---|---|",
        *(f"| {row.what} | {row.measured} | {'held' if row.held else '**BROKEN**'} |" for row in rows), "",
        f"{len(rows) - broken} of {len(rows)} held." if broken else f"All {len(rows)} held.", "",
    ]
    return "\n".join(lines)


def soak(binary: Path) -> list:
    begin, load = time.monotonic(), os.getloadavg()[0]
    temporary = tempfile.TemporaryDirectory(prefix="scopegate-soak-", ignore_cleanup_errors=True)
    with temporary as folder, Processes(Path(folder)) as processes:
        built = stage.build(processes, binary, CLIENTS)
        run = Run(built, Course(processes), Watch(built))
        try:
            run.prepare()
            run.watch.start()
            run.begin()
            run.rounds()
            run.settle()
            run.stop()
            run.watch.log.read()
        finally:
            run.course.ended.set()
            run.watch.stopped.set()
        rows = promises.all_of(run)
    text = page(rows, time.monotonic() - begin, load)
    print(text)
    if SECONDS >= KEPT_FROM:
        file = RESULTS / f"{datetime.datetime.now():%Y-%m-%d-%H%M}-soak.md"
        file.write_text(text)
        print(f"Written: benches/results/{file.name}; commit it by hand.")
    return rows


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--target", type=Path, default=Path("target"), help="cargo's target folder")
    binary = arguments.parse_args().target.resolve() / "release" / "scopegate"
    if SECONDS < SHORTEST:
        raise RigError(f"SOAK_SECONDS: at least {SHORTEST}, or slow clients outlast their part")
    # An interrupted run ends its servers as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if 0 <= most < attacks.CROWD + attacks.SILENT:
        raise RigError(f"{most} file descriptors are too few for the crowds: raise `ulimit -n`")
    if int(LOAD_CORE) in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {int(LOAD_CORE)})
    return 0 if all(row.held for row in soak(binary)) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("soak: interrupted")
    except RigError as problem:
        sys.exit(f"soak: {problem}")
