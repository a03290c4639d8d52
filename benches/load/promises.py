"""What the soak promises, what it measured, and whether that held."""

import statistics
from dataclasses import dataclass

import attacks
from attacks import MARGIN
from stage import BODY_TIMEOUT, DESCRIPTORS, HEADER_TIMEOUT, SEND_TIMEOUT
from visitors import CERTIFICATE_SOON, SOON

# How much slower than in quiet the slowest hundredth may be (DOS-01). A crowd is accepted and turned away on the same core.
MOST_SLOWER = {"slow heads": 2, "slow bodies": 2, "slow readers": 2, "vanishing clients": 3, "crowds": 10}
MOST_GROWTH = 2.0  # MiB a minute
SPARE_DESCRIPTORS = 24
LONGEST_ANSWER = 1.0
LONGEST_RECOVERY = 1.5
MOST_IDLE_CPU = 0.2
SHUTDOWN = 10


@dataclass
class Promise:
    what: str
    measured: str
    held: bool


@dataclass
class Window:
    """One wrk run, and what went on beside it: `quiet` or the name of an attack."""

    name: str
    round: int
    begin: float
    end: float
    measured: object


def all_of(run) -> list:
    """`run` is the soak, after its end."""
    return [*good_traffic(run), *slow_clients(run), *rude_clients(run), *process(run), *afterwards(run), *the_end(run)]


def good_traffic(run) -> list:
    windows = run.windows
    requests, failed = (sum(getattr(w.measured, name) for w in windows) for name in ("requests", "failed"))
    echoes, issuing, http2, operator = run.echoes, run.issuing, run.http2, run.operator
    return [
        Promise("wrk with cached tokens: no request fails", f"{requests:,} requests, {failed} failed",
                requests > 0 and failed == 0),
        *latencies(windows),
        visitor("h2load over TLS: no stream fails", http2, f"{http2.good:,} requests over HTTP/2"),
        visitor("tokens are issued, and userinfo knows them", issuing, f"{issuing.good:,} requests"),
        Promise("WebSockets: every message comes back whole and in order",
                f"{echoes.echoed.total():,} messages on {echoes.opened.total():,} connections{said(echoes.problems)}",
                echoes.echoed.total() > 0 and not echoes.problems),
        Promise("WebSockets: no connection ends right after its 101", f"{len(echoes.stillborn)} did{said(echoes.stillborn)}",
                not echoes.stillborn),
        visitor(f"the operator's acts count within {SOON} s, a certificate within {CERTIFICATE_SOON} s, and hurt nobody",
                operator, f"{operator.good} rounds; slowest: "
                + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in operator.slowest.items())),
    ]


def visitor(what: str, visitor, measured: str) -> Promise:
    return Promise(what, measured + said(visitor.problems), visitor.good > 0 and not visitor.problems)


def said(problems: list) -> str:
    """The number of problems and the first one, in one line."""
    return f"; {len(problems)} failed, first: {' '.join(str(problems[0]).split())[:160]}" if problems else ""


def latencies(windows: list) -> list:
    return [latency(name, most, windows) for name, most in MOST_SLOWER.items()]


def latency(name: str, most: int, windows: list) -> Promise:
    """Each attack is compared with the quiet before and after it; of the rounds the median, as others use the machine."""
    p99 = [window.measured.p99_microseconds / 1000 for window in windows]
    quiet = {place: (p99[place - 1] + p99[place + 1]) / 2 for place, window in enumerate(windows) if window.name == name}
    ratios = sorted((p99[place] / beside, p99[place], beside) for place, beside in quiet.items())
    ratio, slow, beside = ratios[(len(ratios) - 1) // 2]
    return Promise(f"p99 beside {name}: at most {most} times the quiet one",
                   f"{slow:.1f} ms, {ratio:.1f} times {beside:.1f} ms (rounds: {', '.join(f'{r:.1f}' for r, _, _ in ratios)})",
                   ratio <= most)


def slow_clients(run) -> list:
    routes = run.watch.log.routes
    heads, bodies, readers = (run.slow[kind] for kind in ("heads", "bodies", "readers"))
    longest = routes["files"].longest
    return [
        slow("slow heads", heads, HEADER_TIMEOUT + MARGIN, routes[""].statuses.get(408, 0)),
        slow("slow bodies", bodies, BODY_TIMEOUT + MARGIN, routes["upload"].statuses.get(408, 0)),
        Promise(f"slow readers: every request is given up within {SEND_TIMEOUT + MARGIN} s",
                f"{readers.opened} connections, longest request {longest:.1f} s{said(readers.problems)}",
                readers.opened > 0 and not readers.problems and 0 < longest <= SEND_TIMEOUT + MARGIN),
        Promise("the service is available to slowhttptest's probe all the while",
                f"{heads.unavailable + bodies.unavailable + readers.unavailable} seconds without",
                not heads.unavailable + bodies.unavailable + readers.unavailable),
    ]


def slow(what: str, seen, limit: int, told: int) -> Promise:
    return Promise(f"{what}: every connection is answered 408 and closed within {limit} s",
                   f"{seen.opened} connections, longest {seen.longest} s, {told} answered 408{said(seen.problems)}",
                   0 < seen.opened <= told and seen.longest <= limit and not seen.problems)


def rude_clients(run) -> list:
    vanished, crowds = run.vanished, run.crowds
    wait = HEADER_TIMEOUT + MARGIN
    return [
        Promise("clients that vanish: each half-closed connection is ended",
                f"{vanished.reset:,} reset, {vanished.half_closed} half-closed, {vanished.left_open} left open",
                vanished.reset > 0 and vanished.half_closed > 0 and vanished.left_open == 0),
        Promise(f"silent connections are closed within {wait} s",
                f"{crowds.silent:,}, longest {crowds.longest_silent:.1f} s{said(crowds.problems)}",
                crowds.silent > 0 and crowds.longest_silent <= wait and not crowds.problems),
        Promise(f"{attacks.CROWD:,} connections on {DESCRIPTORS:,} descriptors: once they leave, newcomers are served "
                f"within {LONGEST_RECOVERY} s", f"{crowds.came:,} came, {crowds.turned_away:,} turned away, served after "
                f"{crowds.recovery:.2f} s", crowds.turned_away > 0 and crowds.recovery <= LONGEST_RECOVERY),
        full_house(run),
        Promise("every attack could be made", f"{len(run.problems)} failed{said(run.problems)}", not run.problems),
    ]


def full_house(run) -> Promise:
    quiet = statistics.mean(busy(run, w.begin, w.end) for w in run.windows if w.name == "quiet")
    full = max((busy(run, begin, end) for begin, end in run.crowds.full), default=float("nan"))
    return Promise(f"a full house is no busy loop: at most {MOST_IDLE_CPU} cores more than in quiet",
                   f"{full:.2f} cores, in quiet {quiet:.2f}", full <= quiet + MOST_IDLE_CPU)


def busy(run, begin: float, end: float) -> float:
    """Cores that the gateway kept busy meanwhile."""
    inside = [sample for sample in run.watch.samples if begin - 1 <= sample.at <= end + 1]
    return (inside[-1].cpu - inside[0].cpu) / (inside[-1].at - inside[0].at) if len(inside) > 1 else float("nan")


def process(run) -> list:
    watch, log = run.watch, run.watch.log
    answers = [sample.answer for sample in watch.samples if sample.answer is not None]
    slowest = max(answers, default=float("nan"))
    peak = max(sample.resident for sample in watch.samples)
    growth = resident_growth(run)
    return [
        Promise(f"/readyz and /metrics answer once a second, together within {LONGEST_ANSWER:.0f} s",
                f"{len(answers)} times, slowest {slowest * 1000:.0f} ms{said(watch.problems)}",
                slowest <= LONGEST_ANSWER and not watch.problems),
        Promise(f"memory does not grow from one round to the next: at most {MOST_GROWTH} MiB a minute",
                f"{growth:+.2f} MiB a minute; at most {peak:.0f} MiB, in the end {run.last.resident:.0f} MiB",
                growth <= MOST_GROWTH),
        Promise("nothing panics", f"{log.panics} in {log.lines:,} lines of the log", log.lines > 0 and log.panics == 0),
        Promise("no request is answered 5xx", f"{log.errors}{said([log.first_error] * log.errors)}", log.errors == 0),
    ]


def afterwards(run) -> list:
    base, last, watch = run.base, run.last, run.watch
    return [
        Promise("afterwards nothing is in flight and nobody is connected",
                f"{last.in_flight} in flight, {last.connections} connections", (last.in_flight, last.connections) == (0, 0)),
        Promise("afterwards no connection to an upstream is left", f"{last.upstream} (before: {base.upstream})",
                last.upstream <= base.upstream),
        Promise(f"afterwards descriptors are as before, give or take {SPARE_DESCRIPTORS}",
                f"{last.descriptors}, before {base.descriptors}, at most {max(s.descriptors for s in watch.samples)}",
                last.descriptors <= base.descriptors + SPARE_DESCRIPTORS),
    ]


def resident_growth(run) -> float:
    """MiB a minute between the last two rounds, each quiet window compared with the same one a round before: what attacks
    leave behind once the allocator keeps, what they leave each time is a leak."""
    last = max(window.round for window in run.windows)
    quiet = [[w for w in run.windows if w.name == "quiet" and w.round == number] for number in (last - 1, last)]
    rates = []
    for before, after in zip(*quiet):
        rates.append((resident(run, after) - resident(run, before)) * 60 / (after.end - before.end))
    return statistics.mean(rates)


def resident(run, window: Window) -> float:
    return statistics.median(s.resident for s in run.watch.samples if window.begin <= s.at <= window.end + 1)


def the_end(run) -> list:
    end = run.shutdown
    return [Promise(f"SIGTERM: requests in flight are finished, and the process ends by itself within {SHUTDOWN} s",
                    f"{end.whole} of {end.asked} replies whole; exit code {end.code} after {end.seconds:.1f} s",
                    end.asked == end.whole and end.code == 0)]
