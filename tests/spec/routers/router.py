"""Reads the routes, then one request a line, and writes which of the routes each router takes it to: one line of JSON.
With Werkzeug where it is installed."""

import json
import posixpath
import sys
import unicodedata
from urllib.parse import unquote, unquote_plus

try:
    from werkzeug.exceptions import HTTPException
    from werkzeug.routing import Map, RequestRedirect, Rule
except ImportError:
    Map = None


def means(pattern, path):
    wanted, given = pattern.split("/"), path.split("/")
    if wanted[-1] == "**":
        if len(given) < len(wanted):
            return False
        wanted = wanted[:-1]
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        text != "" if name.startswith("{") else name == text for name, text in zip(wanted, given)
    )


def takes(route, method):
    return route["method"] in ("*", method) or (route["method"], method) == ("GET", "HEAD")


def path_info(target):
    """As wsgiref makes it (PEP 3333), then as frameworks read it."""
    raw = unquote(target.split("?", 1)[0], "iso-8859-1")
    return raw.encode("iso-8859-1").decode("utf-8", "replace")


def folded(path):
    path = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
    kept = [part.rstrip(". ") for part in path.split("/")]
    return "/" + "/".join(part for part in kept if part)


def by(read, fold=lambda text: text):
    def reader(routes, method, target):
        path = read(target)
        found = []
        for route in routes:
            wanted = fold(route["path"])
            if takes(route, method.upper()) and means(wanted, path):
                found.append(route["name"])
        return found

    return reader


def werkzeug(routes, **options):
    def rule(text):
        parts = [
            f"<{part[1:-1]}>" if part.startswith("{") else "<path:rest>" if part == "**" else part
            for part in text.split("/")
        ]
        return "/".join(parts)

    maps = []
    for route in routes:
        methods = None if route["method"] == "*" else [route["method"]]
        made = Map([Rule(rule(route["path"]), endpoint=route["name"], methods=methods)], **options)
        maps.append((route["name"], made.bind("host")))

    def reader(_routes, method, target):
        path, found = path_info(target), []
        for name, adapter in maps:
            try:
                adapter.match(path, method)
                found.append(name)
            except (RequestRedirect, HTTPException):
                pass
        return found

    return reader


def main():
    routes = json.loads(sys.stdin.readline())
    readers = {
        "wsgiref": by(path_info),
        "wsgiref, folded": by(lambda target: folded(path_info(target)), folded),
        "unquote_plus": by(lambda target: unquote_plus(target.split("?", 1)[0])),
        "decoded, then cut": by(lambda target: unquote(target).split("?", 1)[0].split("#", 1)[0]),
        "normpath": by(lambda target: posixpath.normpath(path_info(target))),
        "decoded twice": by(lambda target: unquote(path_info(target))),
    }
    if Map is not None:
        readers["Werkzeug"] = werkzeug(routes)
        readers["Werkzeug, lenient"] = werkzeug(routes, strict_slashes=False, merge_slashes=True)
    print(json.dumps(list(readers)))
    for line in sys.stdin:
        method, target = json.loads(line)
        answers = []
        for reader in readers.values():
            try:
                answers.append(reader(routes, method, target))
            except (ValueError, UnicodeError):
                answers.append(None)
        print(json.dumps(answers))


main()
