"""The proxy that a request goes through, for messages about a network that does not answer."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from mlops_assets.settings import child_environment


def through_proxy(url: str, environ: Mapping[str, str] | None = None) -> str:
    """Such as ` through the proxy http://10.0.0.1:3128 (HTTPS_PROXY)`, without its credentials; empty without a proxy.

    `environ` is the process's by default.
    """
    environ = child_environment() if environ is None else environ
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    if _asked_directly(parts.netloc.rpartition("@")[2], environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return ""
    for kind in (parts.scheme, "all"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            if value := environ.get(name):
                return f" through the proxy {_without_credentials(value)} ({name})"
    return ""


def _asked_directly(address: str, not_for: str) -> bool:
    """Whether NO_PROXY names the host, with or without its port, or a domain above it."""
    host = address.rpartition(":")[0] or address
    for entry in (part.strip().lower().lstrip(".") for part in not_for.split(",")):
        if entry and (entry in {"*", host.lower(), address.lower()} or host.lower().endswith(f".{entry}")):
            return True
    return False


def _without_credentials(value: str) -> str:
    scheme, separator, rest = value.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].rstrip('/')}"
