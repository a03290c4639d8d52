"""Reads one input in hex from each line, and writes what Python's parsers take for the value of NAME in it: one line of
JSON, for each reader null or the list of values in hex.  python3 reader.py query|body|fields NAME"""

import io
import json
import sys
import wsgiref.simple_server
from urllib.parse import parse_qs, parse_qsl


def leaves(value):
    """The strings in a value, however deep."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value if isinstance(value, str) else json.dumps(value)]


class Request(wsgiref.simple_server.WSGIRequestHandler):
    """Reads a head as the standard library's WSGI server does, without a connection."""

    def __init__(self, head):
        self.rfile, self.wfile = io.BytesIO(head), io.BytesIO()
        self.client_address = ("127.0.0.1", 1)
        self.server = type("Server", (), {"base_environ": {}})()
        self.raw_requestline = self.rfile.readline(65537)
        self.environ = self.get_environ() if self.parse_request() else None

    def address_string(self):
        return "127.0.0.1"

    def log_message(self, *_):
        pass


def variable(name):
    folded = name.upper().replace("-", "_")
    return folded if folded in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{folded}"


kind, name = sys.argv[1:3]
QUERIES = {
    "parse_qs": lambda query: parse_qs(query).get(name),
    "parse_qs with blanks": lambda query: parse_qs(query, keep_blank_values=True, max_num_fields=1000).get(name),
    "dict of parse_qsl": lambda query: dict(parse_qsl(query, keep_blank_values=True)).get(name),
}
BODIES = {
    "json.loads": lambda body: json.loads(body)[name],
    "json.loads of a str": lambda body: json.loads(body.decode())[name],
    "json.loads, first of two": lambda body: dict(reversed(json.loads(body, object_pairs_hook=list)))[name],
}
FIELDS = {
    "wsgiref": lambda request: request.environ.get(variable(name)),
    "http.client": lambda request: request.headers.get_all(name),
}
READERS = {"query": QUERIES, "body": BODIES, "fields": FIELDS}[kind]


def parsed(line):
    data = bytes.fromhex(line)
    return {"query": lambda: data.decode("latin-1"), "body": lambda: data, "fields": lambda: Request(data)}[kind]()


def answer(reader, data):
    try:
        encoding = "latin-1" if kind == "fields" else "utf-8"
        return [leaf.encode(encoding, "surrogatepass").hex() for leaf in leaves(reader(data))]
    except Exception:  # whatever a parser raises, it has read nothing
        return None


print(json.dumps(list(READERS)))
for line in sys.stdin:
    try:
        data = parsed(line)
    except Exception:
        data = None
    print(json.dumps([answer(reader, data) for reader in READERS.values()]))
