"""The servers of the comparison, how each is configured and started; the same work for all that check tokens."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from machine import LOAD_CORE, PROXY_CORE, Processes, RigError, free_port

PATH = "/v1/applications/load/documents"
ECHO = "/v1/applications/echo/headers"
REPLY = '{"id":"bits:application::2f0e5f3e-8a43-4d0b-a7a6-1f7c9be0d402","status":"draft"}'
assert len(REPLY) == 80


@dataclass
class Server:
    name: str
    port: int
    pid: int


def found(command: str) -> str | None:
    """Daemons live in sbin, which an ordinary user's PATH does not name."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


def start_upstream(processes: Processes) -> int:
    """nginx with one fixed reply, and one that tells which headers arrived."""
    port = free_port()
    locations = f"""
      location / {{ default_type application/json; return 200 '{REPLY}'; }}
      location = {ECHO} {{ default_type application/json;
        return 200 '{{"customer":"$http_x_customer_id","authorization":"$http_authorization"}}'; }}"""
    start_nginx(processes, "upstream", LOAD_CORE, port, locations, "")
    return port


def start_nginx_pass_through(processes: Processes, upstream: int) -> Server:
    port = free_port()
    group = f"upstream behind {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}"
    location = 'location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    return Server("nginx", port, start_nginx(processes, "nginx", PROXY_CORE, port, location, group))


def start_nginx(processes: Processes, name: str, core: str, port: int, locations: str, groups: str) -> int:
    folder = processes.folder / f"{name}.d"
    folder.mkdir()
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
{temporary}
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  {groups}
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
""")
    return processes.start(name, core, [found("nginx"), "-e", folder / "error.log", "-c", configuration], port)


def start_bare(processes: Processes, binary: Path, upstream: int) -> Server:
    port = free_port()
    pid = processes.start("bare", PROXY_CORE, [binary, f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"], port)
    return Server("bare pingora", port, pid)


def start_haproxy(processes: Processes, algorithm: str, pem: str, issuer: str, upstream: int) -> Server:
    """Verifies the gateway's own tokens: signature, exp, iss, the scope, and states the customer."""
    port = free_port()
    key = processes.folder / f"haproxy-{algorithm}.pem"
    key.write_text(pem)
    configuration = processes.folder / f"haproxy-{algorithm}.cfg"
    configuration.write_text(f"""global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 600s
  timeout server 60s
  timeout http-keep-alive 600s
  http-reuse always
frontend public
  bind 127.0.0.1:{port}
  http-request del-header X-Customer-Id
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str {algorithm} }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{key}") -m int 1 }}
  http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {issuer} }}
  http-request set-var(txn.scope) var(txn.bearer),jwt_payload_query('$.scope')
  http-request deny deny_status 403 unless {{ var(txn.scope) -m reg (^|\\ )application($|\\ ) }}
  http-request set-header X-Customer-Id %[var(txn.bearer),jwt_payload_query('$.customer_id')]
  http-request del-header Authorization
  default_backend applications
backend applications
  server one 127.0.0.1:{upstream} pool-max-conn 512
""")
    command = [found("haproxy"), "-db", "-f", configuration]
    return Server(f"HAProxy {algorithm}", port, processes.start(f"haproxy-{algorithm}", PROXY_CORE, command, port))


@dataclass
class Gateway:
    """A gateway's configuration file and ports, before and after it runs."""

    name: str
    binary: Path
    configuration: Path
    port: int
    admin_port: int

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, processes: Processes, await_ready) -> Server:
        command = [self.binary, "run", "-c", self.configuration]
        pid = processes.start(self.name, PROXY_CORE, command, self.admin_port)
        await_ready(self.admin_port)
        return Server(self.name, self.port, pid)


def configure_gateway(
    folder: Path, binary: Path, name: str, algorithm: str, upstream: int, cache_entries: int
) -> Gateway:
    """The routes and limits of the default file; ports, store and cache size of this run."""
    if not binary.exists():
        raise RigError(f"{binary} is not built")
    home = folder / name
    home.mkdir()
    gateway = Gateway(name, binary, home / "gateway.yaml", free_port(), free_port())
    read = "scope: [application.read, application.session]"
    in_body, in_path = "application_id: {body: /applicationId}", "application_id: {path: application_id}"
    gateway.configuration.write_text(f"""listen:
  - address: 127.0.0.1:{gateway.port}
admin: {{address: 127.0.0.1:{gateway.admin_port}}}
issuer: {{url: "{gateway.issuer}", audience: applications-api, algorithm: {algorithm}, lifetime: 1h}}
store: sqlite:scopegate.db
store_key: file:scopegate.key
upstreams:
  applications:
    servers: [127.0.0.1:{upstream}]
    timeouts: {{connect: 500ms, read: 30s, idle: 60s}}
threads: 1
routes:
  - {{match: POST /v1/applications.create, scope: application}}
  - {{match: POST /v1/applications.get, {read}, {in_body}}}
  - {{match: POST /v1/applications.organization.get, {read}, {in_body}}}
  - {{match: POST /v1/applications.*, scope: [application, application.session], {in_body}}}
  - {{match: "GET /v1/applications/{{application_id}}/**", {read}, {in_path}}}
  - {{match: GET /healthz, public: true}}
cache: {{entries: {cache_entries}, memory: 64MiB, negative: {{entries: 20000, ttl: 5s}}}}
""")
    return gateway
