"""What a client does: get tokens from the gateway, read its key set, send single requests."""

import base64
import http.client
import json
import subprocess
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from machine import RigError

CUSTOMER = "bits:customer::7b1f7d0c-3c6e-4f5a-9d55-0c1b8f3a6e01"
APPLICATION = "bits:application::2f0e5f3e-8a43-4d0b-a7a6-1f7c9be0d402"
SESSION = {
    "scope": "application.session",
    "application_id": APPLICATION,
    "workflow_id": "bits:workflow::5d9c2b1a-6e7f-4a3b-8c2d-9e0f1a2b3c03",
    "redirect_url": "https://app.example.com/done",
}


@dataclass
class Client:
    """API credentials and the gateway they are for."""

    port: int
    client_id: str
    secret: str

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()

    def tokens(self, count: int, **parameters) -> list:
        """`count` access tokens, one request each over one connection."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", **parameters})
        headers = {"Authorization": self.basic, "Content-Type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        tokens = []
        for _ in range(count):
            connection.request("POST", "/v1/oauth2/token", form, headers)
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200:
                raise RigError(f"the token endpoint answers {reply.status}: {body[:300]!r}")
            tokens.append(json.loads(body)["access_token"])
        return tokens


def add_client(binary: Path, configuration: Path, port: int) -> Client:
    command = [binary, "client", "add", "--customer", CUSTOMER, "--name", "load",
               "--scope", "application application.session", "-c", configuration, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if run.returncode != 0:
        raise RigError(f"client add: {run.stderr.strip() or run.stdout.strip()}")
    reply = json.loads(run.stdout)
    return Client(port, reply["client_id"], reply["client_secret"])


def request(port: int, path: str, token: str | None = None, method: str = "GET", body: str | None = None):
    """Status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def spoiled(token: str) -> str:
    """The same token with one bit of its signature changed."""
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{head}.{signature[:middle]}{other}{signature[middle + 1:]}"


def public_key_pem(port: int, token: str) -> str:
    """The key that signed `token` as PEM, from the gateway's key set: so that all peers verify the same tokens."""
    status, body = request(port, "/.well-known/jwks.json")
    if status != 200:
        raise RigError(f"the key set answers {status}")
    kid = json.loads(decoded(token.split(".")[0]))["kid"]
    der = spki(next(key for key in json.loads(body)["keys"] if key["kid"] == kid))
    return "-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der).decode() + "-----END PUBLIC KEY-----\n"


def spki(key: dict) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280 section 4.1) of an RSA or P-256 key."""
    if key["kty"] == "EC" and key["crv"] == "P-256":
        algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
        return tlv(0x30, algorithm + bits(b"\x04" + decoded(key["x"]) + decoded(key["y"])))
    if key["kty"] == "RSA":
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
        numbers = tlv(0x30, integer(decoded(key["n"])) + integer(decoded(key["e"])))
        return tlv(0x30, algorithm + bits(numbers))
    raise RigError(f"no PEM for a key of type {key['kty']}")


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def integer(number: bytes) -> bytes:
    return tlv(0x02, (b"\x00" if number[0] & 0x80 else b"") + number)


def bits(content: bytes) -> bytes:
    return tlv(0x03, b"\x00" + content)


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
