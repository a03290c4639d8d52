"""Medians, ratios, the table and the raw data."""

import csv
import datetime
import platform
import statistics
from pathlib import Path

import chart

BASES = ["bare pingora, no auth", "HAProxy jwt_verify RS256", "HAProxy jwt_verify ES256", "nginx pass-through, no auth"]
COLUMNS = ["requests", "requests_per_second", "cpu_microseconds", "p50_microseconds", "p99_microseconds", "failed"]


def write(folder: Path, rows: list, missing: list, notes: list, seconds: int) -> str:
    """Writes DATE.csv, DATE.md and DATE.svg; returns the table's text. `rows` are (round, case, measurement)."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y-%m-%d-%H%M")
    with open(folder / f"{stamp}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["round", "case", *COLUMNS])
        for number, case, measured in rows:
            writer.writerow([number, case, *(rounded(getattr(measured, column)) for column in COLUMNS)])
    text = page(rows, missing, notes, seconds)
    (folder / f"{stamp}.md").write_text(text)
    (folder / f"{stamp}.svg").write_text(chart.svg(rows, "CPU of the proxy per request, µs: median and span"))
    return text + f"\nWritten: benches/results/{stamp}.md, .csv and .svg; commit them by hand."


def page(rows: list, missing: list, notes: list, seconds: int) -> str:
    cases = list(dict.fromkeys(case for _, case, _ in rows))
    rounds = max(number for number, _, _ in rows)
    lines = [
        f"# Load comparison, {datetime.date.today()}", "",
        f"{rounds} interleaved rounds of {seconds} s; wrk -t1 -c64; the proxy has one thread on one core,",
        "wrk and the upstream share another.",
        f"Machine: {cpu_model()}, Linux {platform.release()}.", "",
        "CPU is microseconds of the proxy process per request: median [min-max].",
        "× is the median of the rounds' ratios.", "",
        "| what | CPU µs/request | " + "".join(f"× {base} | " for base in BASES) + "requests/s | p50 µs | p99 µs | failed |",
        "|---|---|" + "---|" * len(BASES) + "---|---|---|---|",
    ]
    lines += [line(case, rows) for case in cases]
    lines += ["", *(f"- {note}" for note in notes), *(f"- not measured: {what}" for what in missing), ""]
    return "\n".join(lines)


def line(case: str, rows: list) -> str:
    of = lambda column: [getattr(m, column) for _, name, m in rows if name == case]
    ratios = [ratio(case, base, rows) for base in BASES]
    cells = [
        spread(of("cpu_microseconds")), *ratios, f"{statistics.median(of('requests_per_second')):,.0f}",
        f"{statistics.median(of('p50_microseconds')):,.0f}", f"{statistics.median(of('p99_microseconds')):,.0f}",
        str(sum(of("failed"))),
    ]
    return f"| {case} | " + " | ".join(cells) + " |"


def ratio(case: str, base: str, rows: list) -> str:
    """Each round compares its own two runs, which were minutes closer to each other than the medians are."""
    cpu = {(number, name): m.cpu_microseconds for number, name, m in rows}
    rounds = [number for number, name in cpu if name == case and (number, base) in cpu]
    each = [cpu[(number, case)] / cpu[(number, base)] for number in rounds]
    return f"{statistics.median(each):.2f}" if each else "-"


def spread(values: list) -> str:
    return f"{statistics.median(values):.1f} [{min(values):.1f}-{max(values):.1f}]"


def rounded(value):
    return round(value, 2)


def cpu_model() -> str:
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    models = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    return f"{models[0] if models else platform.machine()} ({len(models)} threads)"
