"""Reads every kind of reply with http.client. Arguments: port, TLS port, file of the authority, kinds."""

import http.client
import ssl
import sys

PORT, TLS_PORT, AUTHORITY, KINDS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].split(",")
CONTEXT = ssl.create_default_context(cafile=AUTHORITY)


class Old(http.client.HTTPConnection):
    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


def ask(connection, method, kind):
    connection.request(method, f"/kind/{kind}", headers={"Connection": "keep-alive"})
    reply = connection.getresponse()
    return f"{reply.status} [{reply.read().decode()}]"


WAYS = {
    "http/1.1": lambda: http.client.HTTPConnection("127.0.0.1", PORT, timeout=5),
    "http/1.0": lambda: Old("127.0.0.1", PORT, timeout=5),
    "https/1.1": lambda: http.client.HTTPSConnection("localhost", TLS_PORT, timeout=5, context=CONTEXT),
}
for way, connect in WAYS.items():
    for kind in KINDS:
        if kind in ("hints", "processing") and way != "http/1.0":
            continue  # http.client skips 100 alone
        for method in ("GET", "HEAD"):
            connection = connect()
            try:
                # The connection is made anew by itself if the reply says that it ends.
                print(way, method, kind, ask(connection, method, kind), ask(connection, "GET", "length"))
            except (OSError, http.client.HTTPException) as error:
                print(way, method, kind, repr(error))
            connection.close()
