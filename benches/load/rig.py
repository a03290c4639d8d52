#!/usr/bin/env python3
"""The load comparison: every proxy does the same work in the same run, and the figure is CPU per request.

`make bench-load` builds and installs what this needs. One proxy thread on core 0, wrk and the upstream on core 1, runs
interleaved A B C A B C. Environment: ROUNDS (5), SECONDS_PER_RUN (3), TOKENS (12000).
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import peers
import report
import tokens
from machine import Processes, RigError, cpu_seconds, measure

HERE = Path(__file__).resolve().parent
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS_PER_RUN = int(os.environ.get("SECONDS_PER_RUN", "3"))
DISTINCT_TOKENS = int(os.environ.get("TOKENS", "12000"))
SMALL_CACHE, DEFAULT_CACHE = 100, 100_000


@dataclass
class Case:
    """One row of the table: a server and the request that wrk repeats."""

    name: str
    server: peers.Server
    path: str = peers.PATH
    headers: list = field(default_factory=list)
    script: Path | None = None


@dataclass
class Rig:
    """What the cases are made from."""

    processes: Processes
    target: Path
    upstream: int
    missing: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    cases: list = field(default_factory=list)
    gateways: list = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.processes.folder

    def script(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.lua"
        path.write_text(text)
        return path

    def skip(self, what: str, why) -> None:
        print(f"skipped: {what}: {why}", file=sys.stderr)
        self.missing.append(f"{what} ({why})")


def await_ready(admin_port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status, body = tokens.request(admin_port, "/readyz")
        if status == 200:
            return
        time.sleep(0.05)
    raise RigError(f"/readyz answers {status} {body}")


def check_guard(server: peers.Server, token: str, session: str) -> None:
    """A fast proxy that admits anybody would win: a guard refuses bad tokens and states a good one's customer."""
    bad = {"no token": None, "a changed signature": tokens.spoiled(token), "a token without the scope": session}
    for what, sent in bad.items():
        status, _ = tokens.request(server.port, peers.ECHO, sent)
        if status not in (401, 403):
            raise RigError(f"{server.name} answers {status} to {what}")
    status, body = tokens.request(server.port, peers.ECHO, token)
    if status != 200 or json.loads(body) != {"customer": tokens.CUSTOMER, "authorization": ""}:
        raise RigError(f"{server.name} answers {status} {body} to a good token")


def bearer(token: str) -> list:
    return [f"Authorization: Bearer {token}"]


def start_gateway(rig: Rig, name: str, algorithm: str, cache_entries: int):
    """A gateway with one client, ready: (gateway, server, client)."""
    binary = rig.target / "release" / "scopegate"
    gateway = peers.configure_gateway(rig.folder, binary, name, algorithm, rig.upstream, cache_entries)
    client = tokens.add_client(binary, gateway.configuration, gateway.port)
    server = gateway.start(rig.processes, await_ready)
    rig.gateways.append(gateway)
    return gateway, server, client


def add_gateways(rig: Rig) -> None:
    for algorithm in ("ES256", "RS256"):
        gateway, server, client = start_gateway(rig, f"scopegate-{algorithm}", algorithm, DEFAULT_CACHE)
        token, session = client.tokens(1)[0], client.tokens(1, **tokens.SESSION)[0]
        check_guard(server, token, session)
        rig.notes.append(f"{algorithm} token: {len(token)} bytes")
        rig.cases.append(Case(f"scopegate, {algorithm} token cached", server, headers=bearer(token)))
        add_haproxy(rig, algorithm, gateway, token, session)
        add_misses(rig, algorithm)
        if algorithm == "ES256":
            add_default_cases(rig, server, client, token, session)


def add_default_cases(rig: Rig, server: peers.Server, client: tokens.Client, token: str, session: str) -> None:
    """Cases that one signing algorithm is enough for: many tokens, bodies, issuing."""
    many = rig.script("many", token_script(client.tokens(DISTINCT_TOKENS)))
    rig.cases.append(Case(f"scopegate, {DISTINCT_TOKENS:,} tokens, all cached", server, script=many))
    rig.cases.append(Case("scopegate, POST 200 bytes, unbound token, body streamed", server, "/v1/applications.get",
                          script=rig.script("unbound", body_script(token))))
    rig.cases.append(Case("scopegate, POST 200 bytes, session token, body checked", server, "/v1/applications.get",
                          script=rig.script("bound", body_script(session))))
    rig.cases.append(Case("scopegate, token issued (ES256)", server, "/v1/oauth2/token",
                          script=rig.script("issue", issue_script(client))))


def add_misses(rig: Rig, algorithm: str) -> None:
    """A gateway whose cache holds next to nothing, so that every request verifies, inserts and evicts."""
    name = f"scopegate-miss-{algorithm}"
    _, server, client = start_gateway(rig, name, algorithm, SMALL_CACHE)
    distinct = client.tokens(DISTINCT_TOKENS)
    check_guard(server, distinct[0], client.tokens(1, **tokens.SESSION)[0])
    script = rig.script(name, token_script(distinct))
    rig.cases.append(Case(f"scopegate, {algorithm} token not cached", server, script=script))


def add_haproxy(rig: Rig, algorithm: str, gateway: peers.Gateway, token: str, session: str) -> None:
    if not peers.found("haproxy"):
        return rig.skip(f"HAProxy {algorithm}", "haproxy is not installed")
    pem = tokens.public_key_pem(gateway.port, token)
    server = peers.start_haproxy(rig.processes, algorithm, pem, gateway.issuer, rig.upstream)
    check_guard(server, token, session)
    rig.cases.append(Case(f"HAProxy jwt_verify {algorithm}", server, headers=bearer(token)))


def add_floors(rig: Rig) -> None:
    """Proxies that decide nothing: what forwarding alone costs. They get the header too, as bytes to carry."""
    token = next((case.headers for case in rig.cases if case.headers), [])
    bare = rig.target / "release" / "examples" / "bare-pingora"
    if bare.exists():
        server = peers.start_bare(rig.processes, bare, rig.upstream)
        rig.cases.insert(0, Case("bare pingora, no auth", server, headers=token))
    else:
        rig.skip("bare pingora", f"{bare} is not built")
    server = peers.start_nginx_pass_through(rig.processes, rig.upstream)
    rig.cases.append(Case("nginx pass-through, no auth", server, headers=token))


def token_script(distinct: list) -> str:
    listing = ",\n".join(f'"{token}"' for token in distinct)
    return f"""local tokens = {{
{listing}
}}
local requests, at = {{}}, 0
init = function()
  for i, token in ipairs(tokens) do
    requests[i] = wrk.format("GET", nil, {{["Authorization"] = "Bearer " .. token}})
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"""


def body_script(token: str) -> str:
    padding = 200 - len(json.dumps({"applicationId": tokens.APPLICATION, "note": ""}))
    body = json.dumps({"applicationId": tokens.APPLICATION, "note": "x" * padding})
    return f"""wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {token}"
"""


def issue_script(client: tokens.Client) -> str:
    return f"""wrk.method = "POST"
wrk.body = "grant_type=client_credentials"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = "{client.basic}"
"""


def run_rounds(rig: Rig) -> list:
    """Every case once a round; the first, short round warms up and is thrown away."""
    rows = []
    for number in range(ROUNDS + 1):
        seconds = SECONDS_PER_RUN if number else 1
        for case in rig.cases:
            url = f"http://127.0.0.1:{case.server.port}{case.path}"
            measured = measure(case.server.pid, url, seconds, case.script, case.headers)
            if number:
                rows.append((number, case.name, measured))
            drop_logs(rig.folder)
        print(f"round {number} of {ROUNDS} done" if number else "warm", file=sys.stderr)
    return rows


def drop_logs(folder: Path) -> None:
    """Access logs would fill the disk; the writers append, so an emptied file goes on from its start."""
    for log in folder.glob("scopegate-*.log"):
        os.truncate(log, 0)


def note_hits(rig: Rig) -> None:
    """Says how often the caches really hit, so that no row claims a miss that was none."""
    for gateway in rig.gateways:
        _, metrics = tokens.request(gateway.admin_port, "/metrics")
        counts = dict(re.findall(r"^scopegate_token_cache_(hits|misses)_total (\d+)", metrics, re.M))
        if len(counts) == 2:
            rig.notes.append(f"{gateway.name}: {int(counts['hits']):,} cache hits, {int(counts['misses']):,} misses")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--target", type=Path, default=Path("target"), help="cargo's target folder")
    target = arguments.parse_args().target.resolve()
    for command in ("wrk", "nginx"):
        if not peers.found(command):
            print(f"{command} is not installed, and nothing can be measured without it", file=sys.stderr)
            return 1
    # An interrupted run ends its servers as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="scopegate-load-") as folder, Processes(Path(folder)) as processes:
        rig = Rig(processes, target, peers.start_upstream(processes))
        rig.notes.append(f"load of the machine before the start: {os.getloadavg()[0]:.1f}")
        add_gateways(rig)
        add_floors(rig)
        rows = run_rounds(rig)
        note_hits(rig)
        print(report.write(HERE.parent / "results", rows, rig.missing, rig.notes, SECONDS_PER_RUN))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RigError as problem:
        print(f"bench-load: {problem}", file=sys.stderr)
        sys.exit(1)
