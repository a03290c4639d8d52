"""One bar for each row of the table, as SVG: median CPU per request, with the span of the rounds."""

import statistics
from xml.sax.saxutils import escape

ROW, LABEL, WIDTH = 26, 380, 900


def svg(rows: list, title: str) -> str:
    """`rows` are (round, case, measurement)."""
    values = {}
    for _, case, measured in rows:
        values.setdefault(case, []).append(measured.cpu_microseconds)
    scale = (WIDTH - LABEL - 70) / max(max(each) for each in values.values())
    height = ROW * (len(values) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (case, each) in enumerate(values.items()):
        parts += bar(case, each, ROW * (place + 1) + 8, scale)
    return "\n".join([*parts, "</svg>", ""])


def bar(case: str, values: list, top: int, scale: float):
    colour = "#2f6fab" if case.startswith("scopegate") else "#9aa5b1"
    median, low, high = (f(values) * scale for f in (statistics.median, min, max))
    middle = top + 9
    yield f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(case)}</text>'
    yield f'<rect x="{LABEL}" y="{top}" width="{median:.1f}" height="18" fill="{colour}"/>'
    yield f'<line x1="{LABEL + low:.1f}" x2="{LABEL + high:.1f}" y1="{middle}" y2="{middle}" stroke="black"/>'
    yield f'<text x="{LABEL + high + 6:.1f}" y="{top + 13}">{statistics.median(values):.1f}</text>'
