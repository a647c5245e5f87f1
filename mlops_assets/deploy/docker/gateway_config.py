"""The gateway's configuration and runtime commands, as data."""

import hashlib
from typing import Literal

from mlops_assets.failures import PermanentFailure
from mlops_assets.serving.gateway_headers import PROBE, REQUEST_ID

Slot = Literal["blue", "green"]
SLOTS: tuple[Slot, Slot] = ("blue", "green")

FOLDER = "/gateway"
"""The folder of configuration, admin socket and certificate inside the gateway's container."""
SOCKET = "admin.sock"
CERTIFICATE = "cert.pem"
PORT = 8080
RESTART = {"Name": "always"}
"""Of gateway and servers: with `unless-stopped` nothing returns after the engine alone was killed. It takes its
containers for stopped by hand.
"""

_LOG_LINE = (
    '{"at":"%[date,utime(%Y-%m-%dT%H:%M:%S+00:00)]","request_id":"%ID","address":"%ci","method":"%HM","status":%ST,'
    '"ms":%Ta,"server":"%s","ended":"%ts"}'
)
"""No value is the client's own text but the method, which HAProxy takes as a token only. `ended` is `--` for a request
that ended well; HAProxy's manual explains the other pairs under "Session state at disconnection".
"""


def other(slot: Slot) -> Slot:
    """The slot that is free while `slot` is live."""
    return "green" if slot == "blue" else "blue"


def configuration(addresses: dict[Slot, str], live: Slot | None, *, certificate: str = "") -> str:
    """`haproxy.cfg` with `live` in service. It is rewritten at every switch, so a restarted gateway starts as it was.

    Heads are bounded by HAProxy's buffer of 16 KiB. A client with a quarter of all connections gets no more, and
    a server gets fewer than its own bound.

    One JSON line a request, without its path and headers: those may hold texts and keys. Polls that succeed are not
    logged. What a client sends as address or gateway id of its request is overwritten.

    While two servers are ready, their weights share the requests: one by one, those of a kept connection too. A request
    that reaches no server goes to the other.

    No health check: it would take a slow moment of the only server for its death and answer 503 for all.
    """
    tls = f" ssl crt {FOLDER}/{certificate} alpn h2,http/1.1" if certificate else ""
    servers = "\n".join(
        f"  server {slot} {addresses[slot]}:{PORT} maxconn 1900{'' if slot == live else ' disabled'}" for slot in SLOTS
    )
    return f"""global
  stats socket {FOLDER}/{SOCKET} mode 600 level admin
  log stdout format raw local0 info
  maxconn 8192
  hard-stop-after 20s
defaults
  mode http
  log global
  option dontlognull
  timeout connect 2s
  timeout http-request 10s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  timeout queue 5s
  retries 3
  retry-on conn-failure
frontend public
  bind :{PORT}{tls}
  stick-table type ipv6 size 100k expire 1m store conn_cur
  tcp-request connection track-sc0 src
  tcp-request connection reject if {{ sc0_conn_cur gt 2048 }}
  http-request del-header {PROBE}
  http-request set-header X-Forwarded-Proto {"https" if certificate else "http"}
  http-request set-header X-Forwarded-For %[src]
  unique-id-format %[uuid,regsub(-,,g)]
  http-request set-header {REQUEST_ID} %[unique-id]
  http-after-response set-header X-Request-ID %[unique-id] unless {{ res.hdr(X-Request-ID) -m found }}
  log-format '{_LOG_LINE}'
  http-request set-var(txn.polls) bool(true) if {{ path /live /ready /health /metrics }}
  http-response set-log-level silent if {{ var(txn.polls) -m bool }} {{ status lt 400 }}
  default_backend service
backend service
  balance roundrobin
  option redispatch
{servers}
"""


def digest(certificate: str = "") -> str:
    """Of all that is the same in every configuration: a gateway that was started with another one is made anew."""
    return hashlib.sha256(configuration({"blue": "", "green": ""}, None, certificate=certificate).encode()).hexdigest()[
        :12
    ]


def require_pem(pem: str, named: str) -> None:
    """Raise `PermanentFailure` for what HAProxy does not take as a certificate; `named` is what the file is called."""
    if "PRIVATE KEY" not in pem or "BEGIN CERTIFICATE" not in pem:
        raise PermanentFailure(f"{named} must hold certificate and key in PEM: cat cert.pem key.pem")


def enable(slot: Slot) -> str:
    """Requests may go there."""
    return f"set server service/{slot} state ready"


def weigh(slot: Slot, percent: int) -> str:
    """Its share of the requests while the other slot is ready too and has the rest."""
    return f"set server service/{slot} weight {percent}"


def drain(slot: Slot) -> str:
    """No new requests go there; those under way end."""
    return f"set server service/{slot} state drain"


def disable(slot: Slot) -> str:
    """Nothing goes there."""
    return f"set server service/{slot} state maint"
