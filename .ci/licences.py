#!/usr/bin/env python3
"""Checks the licences and sources of all dependencies against deny.toml, where cargo-deny is not installed.

It answers two of cargo-deny's four questions (licences, sources); advisories and bans need cargo-deny itself.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def allowed(expression: str, licences: set[str]) -> bool:
    """Whether an SPDX expression (or the older `A/B`) can be met with these licences alone."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    python = []
    for word in words:
        if word in ("(", ")"):
            python.append(word)
        elif word in ("AND", "OR"):
            python.append(word.lower())
        elif word == "WITH":
            # An exception only widens what the licence before it permits, but deny.toml would have to name the pair.
            python.append("and")
        else:
            python.append(str(word in licences))
    return eval(" ".join(python), {"__builtins__": {}})  # only parentheses, and/or, True/False are left


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    licences = set(rules["licenses"]["allow"])
    listing = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    problems = []
    packages = json.loads(listing.stdout)["packages"]
    for package in packages:
        name = f"{package['name']} {package['version']}"
        # cargo-deny allows the default registry alone unless deny.toml names others, and it names none.
        if package["source"] is not None and not package["source"].endswith("/crates.io-index"):
            problems.append(f"{name}: source {package['source']} is not allowed")
        if not package["license"] or not allowed(package["license"], licences):
            problems.append(f"{name}: licence {package['license']} is not allowed")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"licences and sources: {len(packages)} packages checked, {len(problems)} refused")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
