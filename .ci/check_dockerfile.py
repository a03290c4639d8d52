#!/usr/bin/env python3
"""Reads a Dockerfile as far as one can without a daemon: instructions, stages, COPY sources, the user.

It does not build anything, so it cannot say whether a RUN line works.
"""

import re
import sys
from pathlib import Path

INSTRUCTIONS = set(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)


def instructions(text: str):
    """(line number, instruction, rest) with continued lines joined and comments dropped."""
    parts, start = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not parts):
            continue
        start = start if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            word, _, rest = " ".join(parts).partition(" ")
            yield start, word, rest
            parts = []
    if parts:
        yield start, "\\", "the last line is continued and nothing follows"


def problems(path: Path, context: Path):
    stages, arguments, user = [], set(), None
    ignored = ignore_list(context)
    for line, word, rest in instructions(path.read_text()):
        if word not in INSTRUCTIONS:
            yield line, f"unknown instruction {word}"
        elif word == "ARG":
            arguments.add(rest.split("=")[0].strip())
        elif word == "FROM":
            for name in re.findall(r"\$\{?(\w+)", rest):
                if name not in arguments:
                    yield line, f"FROM uses {name}, which no ARG before it declares"
            stages.append(rest.split(" AS ")[1].strip() if " AS " in rest else None)
            user = None
        elif not stages:
            yield line, f"{word} before the first FROM"
        elif word == "USER":
            user = rest.split(":")[0]
        elif word in ("COPY", "ADD"):
            yield from ((line, problem) for problem in copy_problems(rest, stages, context, ignored))
    if user in (None, "0", "root"):
        yield 0, "the image runs as root"


def copy_problems(rest: str, stages: list, context: Path, ignored: set):
    flags, words = [w for w in rest.split() if w.startswith("--")], [w for w in rest.split() if not w.startswith("--")]
    origin = next((f.removeprefix("--from=") for f in flags if f.startswith("--from=")), None)
    if len(words) < 2:
        yield "COPY needs a source and a destination"
    if origin is not None:
        if origin not in stages[:-1]:
            yield f"COPY from {origin}, which is no earlier stage"
        return
    for source in words[:-1]:
        if source == ".":
            continue
        if not any(context.glob(source.rstrip("/"))):
            yield f"COPY source {source} does not exist"
        if source.split("/")[0] in ignored or source in ignored:
            yield f"COPY source {source} is kept out by .dockerignore"


def ignore_list(context: Path) -> set:
    file = context / ".dockerignore"
    lines = file.read_text().splitlines() if file.exists() else []
    return {line.strip().rstrip("/") for line in lines if line.strip() and not line.startswith("#")}


def main() -> int:
    path = Path(sys.argv[1])
    found = list(problems(path, Path.cwd()))
    for line, problem in found:
        print(f"{path}:{line}: {problem}", file=sys.stderr)
    print(f"{path}: {'problems: ' + str(len(found)) if found else 'instructions, stages, COPY sources and user hold'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
