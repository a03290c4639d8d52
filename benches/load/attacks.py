"""What the soak does to the gateway: slowhttptest three ways, clients that vanish, and connections that only sit there."""

import contextlib
import csv
import http.client
import itertools
import re
import socket
import struct
import time
from dataclasses import dataclass, field

import tokens
from machine import RigError
from stage import BIG, BODY_TIMEOUT, HEADER_TIMEOUT, SEND_TIMEOUT, SMALL, UPLOAD, Stage, within
from visitors import Course

# More slow readers would fill what the kernel has for TCP, and slow everybody down whoever serves them.
CONNECTIONS, RAMP = {"heads": 200, "bodies": 200, "readers": 60}, 2
# slowhttptest counts whole seconds, at both ends, and the gateway lets the client read its reply for two.
MARGIN = 4
VANISHING_A_SECOND = 160
SILENT, CROWD = 1500, 5000
FULL_FOR = 3


@dataclass
class Slow:
    """What became of the connections of one kind of slow client."""

    opened: int = 0
    closed: int = 0
    longest: int = 0  # seconds, rounded up
    unavailable: int = 0  # seconds in which slowhttptest's own probe got no reply
    problems: list = field(default_factory=list)

    def add(self, rows: list) -> None:
        """`rows` of one run: how many connections were closed, pending and open at the end of each second."""
        closed, opened = [row["closed"] for row in rows], [row["closed"] + row["open"] for row in rows]
        self.opened += max(opened)
        self.closed += closed[-1]
        self.unavailable += sum(not row["available"] for row in rows)
        for second, count in enumerate(opened):
            # First in, first out: none can have lived longer than until as many had left.
            last = next((later for later in range(second, len(closed)) if closed[later] >= count), len(closed))
            self.longest = max(self.longest, last - second)


KINDS = {
    # Everybody's timeouts are shorter than the tool's patience, so that it is the gateway that ends the connection.
    "heads": (HEADER_TIMEOUT, ["-H", "-i", 1, "-x", 16], SMALL),
    "bodies": (BODY_TIMEOUT, ["-B", "-t", "POST", "-i", BODY_TIMEOUT + 30, "-s", 8192], UPLOAD),
    "readers": (SEND_TIMEOUT, ["-X", "-n", 1, "-z", 5, "-w", 512, "-y", 1024], BIG),
}


def slowly(course: Course, stage: Stage, kind: str, seconds: float, slow: Slow) -> None:
    """One slowhttptest after the other, none of which would outlast `seconds`."""
    limit, options, path = KINDS[kind]
    length = RAMP + limit + MARGIN
    until = time.monotonic() + max(seconds, length + 1)
    results = stage.processes.folder / f"slow-{kind}"
    while time.monotonic() + length < until and not course.ended.is_set():
        command = ["slowhttptest", *options, "-c", CONNECTIONS[kind], "-r", CONNECTIONS[kind] // RAMP, "-l", length, "-v", 1,
                   "-p", 3, "-g", "-o", results, "-u", stage.url(path)]
        text = course.run(command, length + 30)
        if not re.search("Exit status: +(No open|Hit test)", re.sub(r"\x1b\[[0-9;]*m", "", text)):
            slow.problems.append(f"slowhttptest ended strangely: {text[-200:].strip()}")
        slow.add(readings(results.with_suffix(".csv")))
        # The gateway has its own way to notice that readers have gone.
        course.ended.wait(0.5)


def readings(file) -> list:
    with open(file, newline="") as lines:
        rows = [row for row in csv.reader(lines)][1:]
    if not rows:
        raise RigError("slowhttptest noted nothing")
    names = ("second", "closed", "pending", "open", "available")
    return [dict(zip(names, map(int, row))) for row in rows]


@dataclass
class Vanished:
    reset: int = 0
    half_closed: int = 0
    left_open: int = 0  # half-closed ones that the gateway did not end


def vanish(course: Course, stage: Stage, token: str, seconds: float, vanished: Vanished) -> None:
    """N2: clients that reset, or close their half, at every point of a request."""
    get = f"GET {BIG} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    guarded = f"GET /v1/applications/x/y HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    post = f"POST {UPLOAD} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 5000
    moments = itertools.cycle([
        (stage.port, get[:20], 0), (stage.port, get, 0), (stage.port, get, 30_000), (stage.port, post, 0),
        (stage.port, guarded, 0), (stage.port, guarded, 100), (stage.tls_port, b"\x16\x03\x01\x02\x00\x01", 0),
    ])
    until = time.monotonic() + seconds
    half_closed = []
    while time.monotonic() < until and not course.ended.is_set():
        begin = time.monotonic()
        for _ in range(VANISHING_A_SECOND // 4):
            reset(*next(moments))
            vanished.reset += 1
        half_closed += [half_close(*next(moments)[:2]) for _ in range(4)]
        if len(half_closed) > 40:
            see_off(half_closed, vanished)
        course.ended.wait(max(0.0, begin + 0.25 - time.monotonic()))
    see_off(half_closed, vanished)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def reset(port: int, sent: bytes, read: int) -> None:
    with connect(port) as client:
        client.sendall(sent)
        if read:
            client.recv(read)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(port: int, sent: bytes) -> socket.socket:
    client = connect(port)
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    return client


def see_off(clients: list, vanished: Vanished) -> None:
    """Reads what the gateway still says to those who said their last word; it is to end each connection."""
    while clients:
        with clients.pop(0) as client:
            vanished.half_closed += 1
            client.settimeout(HEADER_TIMEOUT + MARGIN)
            try:
                while client.recv(1 << 20):
                    pass
            except TimeoutError:
                vanished.left_open += 1
            except OSError:
                pass  # a reset ends it as well


@dataclass
class Crowds:
    silent: int = 0
    longest_silent: float = 0.0
    came: int = 0
    turned_away: int = 0
    recovery: float = 0.0
    full: list = field(default_factory=list)  # from when to when nobody else came in, by the monotonic clock
    problems: list = field(default_factory=list)


def sit(course: Course, stage: Stage, crowds: Crowds) -> None:
    """DOS-08: connections that say nothing; first as many as there is room for, then far more."""
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        clients = [stack.enter_context(connect(stage.port)) for _ in range(SILENT)]
        crowds.silent += len(clients)
        for client in clients:
            client.settimeout(HEADER_TIMEOUT + MARGIN)
            if not ended(client):
                crowds.problems.append("a silent connection was left open")
                break
        crowds.longest_silent = max(crowds.longest_silent, time.monotonic() - begin)
    course.close_doors()
    try:
        crowd(course, stage, crowds)
    finally:
        course.room.set()


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def crowd(course: Course, stage: Stage, crowds: Crowds) -> None:
    request = f"GET {SMALL} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        clients = []
        for _ in range(CROWD):
            with contextlib.suppress(OSError):
                client = stack.enter_context(connect(stage.port))
                clients.append(client)
                client.sendall(request)
        course.ended.wait(FULL_FOR)
        crowds.full.append((begin, time.monotonic()))
        crowds.came += len(clients)
        crowds.turned_away += sum(not answered(client) for client in clients)
    recovery = within(10, lambda: served(stage))
    if recovery is None:
        crowds.problems.append("nobody was served any more")
    crowds.recovery = max(crowds.recovery, 10 if recovery is None else recovery)


def answered(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def served(stage: Stage) -> bool:
    try:
        return tokens.request(stage.port, SMALL)[0] == 200
    except (OSError, http.client.HTTPException):
        return False
