"""The proxy that a request goes through, for messages about a network that does not answer."""

from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment

from mlops_assets.settings import child_environment


def through_proxy(url: str, environ: Mapping[str, str] | None = None) -> str:
    """Such as ` through the proxy http://10.0.0.1:3128 (HTTPS_PROXY)`, without its credentials; empty without a proxy.

    `environ` is the process's by default.
    """
    environ = child_environment() if environ is None else environ
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    not_for = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not_for and proxy_bypass_environment(parts.netloc.rpartition("@")[2], {"no": not_for}):
        return ""
    for kind in (parts.scheme, "all"):
        for name in (f"{kind}_proxy", f"{kind}_proxy".upper()):
            if value := environ.get(name):
                return f" through the proxy {_without_credentials(value)} ({name})"
    return ""


def _without_credentials(value: str) -> str:
    scheme, separator, rest = value.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].rstrip('/')}"
