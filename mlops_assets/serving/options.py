"""What the environment decides about the server. It reads no params.yaml: the image holds none."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from mlops_assets.failures import PermanentFailure

MEMORY = "SERVICE_MEMORY"
"""The variable with the memory limit of the server's container; target docker."""
_KEY = re.compile(r"(?P<name>[\w.-]{1,64}):(?P<digest>[0-9a-fA-F]{64})")


class BadOption(PermanentFailure):
    """A variable of the server breaks its rule."""


@dataclass(frozen=True)
class ServerOptions:
    """Limits, keys and files; the `digest` of a key is the SHA-256 of what the client sends.

    last_success_file: the time of the pipeline's last success, in seconds since 1970; /metrics shows it
    overview_file: the runs, models and reviews that /overview shows; the pipeline writes it
    spool_file: where predictions wait while the database of their log is down
    request_log_file: the request log; without it, it goes to standard output
    behind_gateway: only the gateway reaches the server, and its headers say who asks
    """

    max_text_chars: int = 10_000
    max_texts: int = 1_000
    max_body_bytes: int = 4 * 1024 * 1024
    max_queue_texts: int = 4_000
    deadline_s: float = 10.0
    workers: int = 2
    batch_tokens: int = 2_048
    rate_limit_per_s: float = 0.0
    rate_limit_burst: int = 0
    api_keys: Mapping[str, str] = field(default_factory=dict)
    allow_anonymous: bool = False
    log_texts: bool = False
    prediction_log: str = ""
    last_success_file: Path | None = None
    overview_file: Path | None = None
    spool_file: Path | None = None
    request_log_file: Path | None = None
    behind_gateway: bool = False

    def __post_init__(self) -> None:
        if self.max_texts > self.max_queue_texts:
            raise BadOption(
                f"MAX_TEXTS is {self.max_texts} and MAX_QUEUE_TEXTS {self.max_queue_texts}: a batch of MAX_TEXTS would "
                "never find room, so raise MAX_QUEUE_TEXTS or lower MAX_TEXTS"
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ServerOptions":
        """Raises `BadOption` with name, value and rule."""
        _refuse_bad_size(environ, MEMORY)
        return cls(
            max_text_chars=_whole(environ, "MAX_TEXT_CHARS", 10_000, 1, 1_000_000),
            max_texts=_whole(environ, "MAX_TEXTS", 1_000, 1, 100_000),
            max_body_bytes=_whole(environ, "MAX_BODY_BYTES", 4 * 1024 * 1024, 1_024, 1 << 30),
            max_queue_texts=_whole(environ, "MAX_QUEUE_TEXTS", 4_000, 1, 1_000_000),
            deadline_s=float(_whole(environ, "DEADLINE_S", 10, 1, 300)),
            workers=_whole(environ, "INFERENCE_WORKERS", 2, 1, 64),
            batch_tokens=_whole(environ, "BATCH_TOKENS", 2_048, 16, 1 << 20),
            rate_limit_per_s=float(_whole(environ, "RATE_LIMIT_PER_S", 0, 0, 1_000_000)),
            rate_limit_burst=_whole(environ, "RATE_LIMIT_BURST", 0, 0, 1_000_000),
            api_keys=_keys(environ.get("API_KEYS", "")),
            allow_anonymous=_flag(environ, "ALLOW_ANONYMOUS"),
            log_texts=_flag(environ, "LOG_TEXTS"),
            prediction_log=prediction_log_address(environ),
            last_success_file=_path(environ, "LAST_SUCCESS_FILE"),
            overview_file=_path(environ, "OVERVIEW_FILE"),
            spool_file=_path(environ, "SPOOL_FILE"),
            request_log_file=_path(environ, "REQUEST_LOG_FILE"),
            behind_gateway=_flag(environ, "BEHIND_GATEWAY"),
        )

    def refuse_open_host(self, host: str) -> None:
        """Without keys the server listens on loopback only, unless `ALLOW_ANONYMOUS=1` is set."""
        if not self.api_keys and not self.allow_anonymous and not is_loopback(host):
            raise BadOption(
                f"API_KEYS is empty and the service would listen on {host}: set API_KEYS=name:sha256, "
                "bind 127.0.0.1, or set ALLOW_ANONYMOUS=1 if a proxy in front of it checks who may use it"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _whole(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = environ.get(name, "").strip() or str(default)
    if not value.isdecimal() or not least <= int(value) <= most:
        raise BadOption(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return int(value)


def _refuse_bad_size(environ: Mapping[str, str], name: str) -> None:
    value = environ.get(name, "")
    if value and not re.fullmatch(r"[1-9]\d{1,5}m|[1-9]\d{0,3}g", value):
        raise BadOption(f"{name} must be a size such as 1500m or 2g, got {value!r}")


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "").strip()
    return Path(value) if value else None


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in {"", "0", "1", "false", "true", "no", "yes"}:
        raise BadOption(f"{name} must be 1 or 0, got {value!r}")
    return value in {"1", "true", "yes"}


def _keys(value: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        match = _KEY.fullmatch(part)
        if match is None:
            # The value may hold a key by mistake, so it is not repeated here.
            raise BadOption("API_KEYS must be name:sha256 in hex, comma-separated: printf %s KEY | sha256sum")
        keys[match["name"]] = match["digest"].lower()
    return keys


def prediction_log_address(environ: Mapping[str, str]) -> str:
    """`postgresql://…` if POSTGRES_HOST is set, `sqlite:PATH` if PREDICTION_LOG is set, else empty."""
    host = environ.get("POSTGRES_HOST", "").strip()
    if host:
        port = _whole(environ, "POSTGRES_PORT", 5432, 1, 65535)
        user, password = (quote(environ.get(name, ""), safe="") for name in ("POSTGRES_USER", "POSTGRES_PASSWORD"))
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        return f"postgresql://{login}{host}:{port}/{quote(environ.get('POSTGRES_DB', '') or 'postgres', safe='')}"
    path = environ.get("PREDICTION_LOG", "").strip()
    return f"sqlite:{path}" if path else ""
