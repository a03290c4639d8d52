"""The good traffic of the soak beside wrk: h2load over TLS, tokens being issued and used, an operator at work."""

import http.client
import json
import os
import random
import re
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field

import peers
import tokens
from echoes import CLOSED, cut_off
from machine import LOAD_CORE, Processes, RigError, on_core
from rig import bearer
from stage import Stage, within

# What a change in the store may take until it counts, and a certificate until it is shown.
SOON, CERTIFICATE_SOON = 2, 4
FAILURES = (OSError, RigError, http.client.HTTPException, subprocess.SubprocessError, AssertionError, ValueError, KeyError,
            *CLOSED)


@dataclass
class Course:
    """What all threads of a soak know: whether it has ended, and whether the gateway has room for new connections."""

    processes: Processes
    ended: threading.Event = field(default_factory=threading.Event)
    room: threading.Event = field(default_factory=threading.Event)
    visitors: list = field(default_factory=list)
    begin: float = field(default_factory=time.monotonic)

    def clock(self) -> str:
        """When a problem came up."""
        return f"at {time.monotonic() - self.begin:.0f} s"

    def run(self, command: list, patience: float) -> str:
        """What a command prints; an interrupted soak ends it with all other processes."""
        process = subprocess.Popen(on_core(LOAD_CORE, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, text=True, errors="replace", cwd=self.processes.folder)
        self.processes.running.append(process)
        try:
            return process.communicate(timeout=patience)[0]
        finally:
            process.kill()
            process.wait()
            self.processes.running.remove(process)

    def close_doors(self) -> None:
        """Returns once nobody opens connections any more: some are about to be turned away."""
        self.room.clear()
        if within(60, lambda: all(visitor.rests for visitor in self.visitors)) is None:
            raise RigError("a visitor does not come to rest")


def stand_back() -> None:
    """Lets wrk and the upstreams, whose times are measured, go before this thread and what it starts on their core."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


class Visitor(threading.Thread):
    """Repeats `visit` until the soak ends, with a pause between, and rests while there is no room."""

    pause = 0.1

    def __init__(self, course: Course, stage: Stage):
        super().__init__(name=type(self).__name__, daemon=True)
        self.course, self.stage = course, stage
        self.good, self.problems, self.rests = 0, [], True
        course.visitors.append(self)

    def run(self):
        stand_back()
        while not self.course.ended.is_set():
            # In this order, so that whoever waits for all to rest cannot miss one that is about to go.
            self.rests = False
            if self.course.room.is_set():
                self.attempt()
            self.rests = True
            self.course.ended.wait(self.pause)

    def attempt(self):
        try:
            self.visit()
        except FAILURES as problem:
            if not self.course.ended.is_set():
                self.problems.append(f"{self.course.clock()} {self.name}: {type(problem).__name__} {problem}")

    def expect(self, what: str, seen, wanted) -> None:
        if seen != wanted:
            raise RigError(f"{what}: {seen} instead of {wanted}")


class Issuing(Visitor):
    """Asks for tokens as several clients, and whose they are."""

    def visit(self):
        for client in self.stage.clients:
            for token in client.tokens(2):
                status, body = tokens.request(self.stage.port, "/oauth2/userinfo", token)
                self.expect("userinfo", (status, json.loads(body).get("customerId")), (200, tokens.CUSTOMER))
                self.good += 2


class Http2(Visitor):
    """h2load, a short run each time: new TLS connections, many streams in each."""

    pause, requests = 2, 500

    def __init__(self, course: Course, stage: Stage, token: str):
        super().__init__(course, stage)
        self.token = token

    def visit(self):
        command = ["h2load", "-n", self.requests, "-c", 5, "-m", 10, "-H", bearer(self.token)[0]]
        text = self.course.run([*command, self.stage.tls_url(peers.PATH)], 60)
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
        protocol = re.search(r"Application protocol: (\S+)", text)
        if not counts or not protocol:
            raise RigError(f"h2load: {text[-300:]}")
        self.expect("h2load's protocol", protocol[1], "h2")
        self.good += int(counts[1])
        self.expect("h2load's requests", counts[0], f"{self.requests} succeeded, 0 failed, 0 errored, 0 timeout")


class Operator(Visitor):
    """Adds, changes and disables clients, revokes, rotates keys and replaces certificates, and looks at what follows."""

    pause = 2

    def __init__(self, course: Course, stage: Stage):
        super().__init__(course, stage)
        self.rounds = 0
        self.slowest = {}

    def visit(self):
        self.rounds += 1
        client = self.stage.add_client()
        self.note("added", SOON, lambda: accepted(client))
        first, second = client.tokens(2)
        self.expect("a new client's token", self.spend(first), 200)
        self.change_secret(client)
        revoke = lambda: self.stage.command("token", "revoke", "--jti", claim(first, "jti"))
        # The WebSocket's route says `close_on_expiry`.
        if not cut_off(random.choice(self.stage.socket_urls()), first, revoke, SOON):
            raise RigError(f"a WebSocket outlives its revoked token by more than {SOON} s")
        self.note("revoked", SOON, lambda: self.spend(first) == 401)
        self.expect("a token beside a revoked one", self.spend(second), 200)
        self.stage.command("client", "disable", client.client_id)
        self.note("disabled", SOON, lambda: self.spend(second) == 401)
        if self.rounds % 8 == 1:
            self.rotate_key()
        if self.rounds % 4 == 2:
            self.replace_certificate()
        self.good += 1

    def spend(self, token: str) -> int:
        return tokens.request(self.stage.port, peers.PATH, token)[0]

    def change_secret(self, client: tokens.Client):
        old = client.secret
        shown = self.stage.command("client", "rotate-secret", client.client_id, "--json")
        client.secret = json.loads(shown)["client_secret"]
        self.note("new secret", SOON, lambda: accepted(client))
        self.expect("an old secret", accepted(tokens.Client(client.port, client.client_id, old)), False)

    def rotate_key(self):
        client = self.stage.clients[0]
        before = client.tokens(1)[0]
        self.stage.command("key", "rotate")
        changed = lambda: header(client.tokens(1)[0], "kid") != header(before, "kid")
        self.note("new key", SOON, changed)
        self.expect("a token of the key before", self.spend(before), 200)
        self.expect("a token of the new key", self.spend(client.tokens(1)[0]), 200)

    def replace_certificate(self):
        wanted = ssl.PEM_cert_to_DER_cert(self.stage.new_certificate())
        address = ("127.0.0.1", self.stage.tls_port)
        shown = lambda: ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(address)) == wanted
        self.note("certificate", CERTIFICATE_SOON, shown)

    def note(self, what: str, seconds: float, holds):
        took = within(seconds, holds)
        if took is None:
            raise RigError(f"{what}: not within {seconds} s")
        self.slowest[what] = max(self.slowest.get(what, 0.0), took)


def accepted(client: tokens.Client) -> bool:
    try:
        return bool(client.tokens(1))
    except RigError as problem:
        if "answers 401" not in str(problem):
            raise
        return False


def claim(token: str, name: str):
    return json.loads(tokens.decoded(token.split(".")[1]))[name]


def header(token: str, name: str):
    return json.loads(tokens.decoded(token.split(".")[0]))[name]
