"""What the soak runs against: a gateway with a plain and a TLS listener, a store, and the servers behind it."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import peers
import tokens
from machine import LOAD_CORE, PROXY_CORE, Processes, RigError, free_port
from rig import await_ready

HERE = Path(__file__).resolve().parent
# Short ones, so that ten minutes see many generations of slow clients.
HEADER_TIMEOUT, BODY_TIMEOUT, SEND_TIMEOUT, UPSTREAM_IDLE = 3, 5, 5, 5
# DOS-08: fewer than the idle connections that come.
DESCRIPTORS = 4096
# Filled during the warm-up: what it takes later is a leak.
CACHE_ENTRIES = 1000
# The big one is more than the kernel takes for a client that does not read.
BIG_FILE, SLOW_FILE = 6 << 20, 60_000
BIG, SLOW, SMALL, UPLOAD, SOCKET = "/v1/files/big", "/v1/files/slow", "/v1/files/small", "/v1/upload", "/v1/socket"


@dataclass
class Stage:
    """Where everything is, once it runs."""

    processes: Processes
    binary: Path
    configuration: Path
    port: int
    tls_port: int
    admin_port: int
    upstream_port: int
    socket_port: int
    pid: int = 0
    clients: list = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.configuration.parent

    @property
    def log(self) -> Path:
        return self.processes.folder / "scopegate.log"

    @property
    def process(self) -> subprocess.Popen:
        return next(process for process in self.processes.running if process.pid == self.pid)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def tls_url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.tls_port}{path}"

    def socket_urls(self) -> list:
        """Where the WebSocket is, plain and over TLS."""
        return [f"ws://127.0.0.1:{self.port}{SOCKET}", f"wss://localhost:{self.tls_port}{SOCKET}"]

    def command(self, *words) -> str:
        """One administrative command beside the running gateway; what it printed."""
        run = subprocess.run([self.binary, *words, "-c", self.configuration], capture_output=True, text=True, timeout=30)
        if run.returncode != 0:
            raise RigError(f"{' '.join(words[:2])}: {run.stderr.strip() or run.stdout.strip()}")
        return run.stdout

    def add_client(self) -> tokens.Client:
        return tokens.add_client(self.binary, self.configuration, self.port)

    def new_certificate(self) -> str:
        """Puts a fresh key and certificate where the gateway reads them; the certificate as PEM."""
        made = {name: self.folder / f"new-{name}.pem" for name in ("cert", "key")}
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                   "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                   "-keyout", made["key"], "-out", made["cert"]]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        certificate = made["cert"].read_text()
        for name, file in made.items():
            file.rename(self.folder / f"{name}.pem")
        return certificate


def build(processes: Processes, binary: Path, clients: int) -> Stage:
    """Starts it all, with `clients` clients in the store."""
    if not binary.exists():
        raise RigError(f"{binary} is not built")
    home = processes.folder / "gateway"
    home.mkdir()
    stage = Stage(processes, binary, home / "gateway.yaml", free_port(), free_port(), free_port(),
                  start_files(processes), start_echo(processes))
    stage.new_certificate()
    stage.configuration.write_text(configuration(stage))
    stage.clients = [stage.add_client() for _ in range(clients)]
    command = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", binary, "run", "-c", stage.configuration]
    stage.pid = processes.start("scopegate", PROXY_CORE, command, stage.admin_port)
    await_ready(stage.admin_port)
    return stage


def configuration(stage: Stage) -> str:
    return f"""listen:
  - address: 127.0.0.1:{stage.port}
  - {{address: 127.0.0.1:{stage.tls_port}, tls: {{certificate: "file:cert.pem", key: "file:key.pem"}}}}
admin: {{address: 127.0.0.1:{stage.admin_port}}}
issuer: {{url: "http://127.0.0.1:{stage.port}", audience: applications-api, lifetime: 1h}}
store: sqlite:scopegate.db
store_key: file:scopegate.key
upstreams:
  files: {{servers: [127.0.0.1:{stage.upstream_port}], timeouts: {{connect: 2s, read: 60s, idle: {UPSTREAM_IDLE}s}}}}
  sockets: {{servers: [127.0.0.1:{stage.socket_port}], timeouts: {{connect: 2s, read: 60s, idle: {UPSTREAM_IDLE}s}}}}
threads: 2
routes:
  - match: "GET /v1/applications/{{application_id}}/**"
    upstream: files
    scope: [application.read, application.session]
    application_id: {{path: application_id}}
  - {{match: GET {SOCKET}, upstream: sockets, scope: application.read, upgrade: websocket, close_on_expiry: true}}
  - {{match: GET /v1/files/*, id: files, upstream: files, public: true}}
  - {{match: POST {UPLOAD}, id: upload, upstream: files, public: true}}
cache: {{entries: {CACHE_ENTRIES}}}
limits:
  header_timeout: {HEADER_TIMEOUT}s
  body_timeout: {BODY_TIMEOUT}s
  send_timeout: {SEND_TIMEOUT}s
  token_failures: {{per_client: 1000/1m, per_address: 1000/1m}}
"""


def start_files(processes: Processes) -> int:
    """nginx with the fixed reply of the load comparison, files of several lengths, and a place that reads a whole body."""
    files = processes.folder / "files"
    files.mkdir()
    for name, length in {"big": BIG_FILE, "slow": SLOW_FILE, "small": 100}.items():
        (files / name).write_bytes(b"x" * length)
    # Started by root, nginx reads files as somebody else, whom a temporary folder keeps out.
    processes.folder.chmod(0o711)
    port = free_port()
    locations = f"""
      location / {{ default_type application/json; return 200 '{peers.REPLY}'; }}
      location /v1/files/ {{ alias {files}/; }}
      location = {SLOW} {{ alias {files}/slow; limit_rate 20k; }}
      location = {UPLOAD} {{ proxy_pass http://127.0.0.1:{port}/uploaded; }}"""
    peers.start_nginx(processes, "upstream", LOAD_CORE, port, locations, "")
    return port


def start_echo(processes: Processes) -> int:
    port = free_port()
    processes.start("echo", LOAD_CORE, [sys.executable, HERE / "echoes.py", port], port)
    return port


def within(seconds: float, holds) -> float | None:
    """How long it took until `holds()`, or `None` if that was not within `seconds`."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if holds():
            return time.monotonic() - begin
        time.sleep(0.05)
    return None
