"""Uploads that are refused: the status must be read, whatever is still to be sent.

Arguments: port, TLS port, file of the authority, token. Prints a line for each upload.
"""

import http.client
import ssl
import sys
import threading
import time

PORT, TLS_PORT, AUTHORITY, TOKEN = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
CONTEXT = ssl.create_default_context(cafile=AUTHORITY)


def paced(length, rate):
    """Parts of a body that leave at so many bytes a second."""
    begin, sent = time.monotonic(), 0
    while sent < length:
        part = min(30_000, length - sent)
        sent += part
        yield b"x" * part
        time.sleep(max(0.0, begin + sent / rate - time.monotonic()))


def upload(name, tls, length, rate, headers, status):
    if tls:
        connection = http.client.HTTPSConnection("localhost", TLS_PORT, timeout=40, context=CONTEXT)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=40)
    body = paced(length, rate) if rate else b"x" * length
    try:
        connection.request("POST", "/v1/any/x", body, {"Content-Length": str(length), **headers})
        reply = connection.getresponse()
        reply.read()
        said = "ok" if reply.status == status else f"FAIL {reply.status}"
    except OSError as error:
        said = f"FAIL {error!r}"
    print(said, name, flush=True)


threads = []
for tls in (False, True):
    where = "tls" if tls else "plain"
    for name, length, rate, headers, status in [
        ("1 KiB", 1024, None, {}, 401),
        ("990 kB at 300 kB/s", 990_000, 300_000, {}, 401),
        ("12 MB over the limit", 12_000_000, None, {"Authorization": f"Bearer {TOKEN}"}, 413),
        ("60 MB", 60_000_000, None, {}, 401),
    ]:
        task = threading.Thread(target=upload, args=(f"{where}: {name}", tls, length, rate, headers, status))
        task.start()
        threads.append(task)
for task in threads:
    task.join()
