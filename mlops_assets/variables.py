"""Environment variables as typed values. `settings.py` reads them."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import SecretStr

from mlops_assets.failures import BadSetting

ELSEWHERE = frozenset({
    "ALERTMANAGER_IMAGE", "CODE_MEMORY", "COMPOSE_PROJECT_NAME", "DAEMON_MEMORY", "DOCKER_GID", "DOCKER_SOCKET",
    "DOOR_ADDRESS", "DOOR_CERTIFICATE", "DOOR_PORT", "GITHUB_TOKEN", "GRAFANA_ADMIN_PASSWORD", "GRAFANA_ADMIN_USER",
    "GRAFANA_IMAGE", "GRAFANA_MEMORY", "LABEL_MEMORY", "LOOK_LOGINS", "NODE_EXPORTER_IMAGE",
    "OPERATE_LOGINS", "ORCHESTRATOR_IMAGE", "PIPELINE_ROOT", "POSTGRES_IMAGE", "POSTGRES_MEMORY", "PROMETHEUS_IMAGE",
    "PROMETHEUS_MEMORY", "PROMETHEUS_RETENTION", "PYTHON_IMAGE", "RUNS_AT_ONCE", "RUN_CPUS", "RUN_MEMORY", "SERVICE",
    "SERVICE_SUBNET", "SKIP_BUILD", "STACK_GID", "STACK_UID", "TORCH_INDEX", "UP_TIMEOUT_S", "WEBSERVER_MEMORY",
})  # fmt: skip
"""Variables that `.env` may hold for the stack, and that `Settings` does not always look up."""

_INDONESIAN_ZONES = {"WIB": "Asia/Jakarta", "WITA": "Asia/Makassar", "WIT": "Asia/Jayapura"}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


class Variables:
    """Typed look-ups that name the variable, its value and the rule when one is broken."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._known = set(ELSEWHERE)

    def text(self, name: str, default: str) -> str:
        self._known.add(name)
        return self._values.get(name, "").strip() or default

    def flag(self, name: str) -> bool:
        value = self.text(name, "").lower()
        if value not in _TRUE | _FALSE:
            raise BadSetting(f"{name} must be 1 or 0, got {value!r}")
        return value in _TRUE

    def choice(self, name: str, allowed: tuple[str, ...]) -> Any:
        value = self.text(name, "")
        if value and value not in allowed:
            raise BadSetting(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        return value or None

    def matching(self, name: str, pattern: str, rule: str) -> str | None:
        value = self.text(name, "")
        if value and not re.fullmatch(pattern, value):
            raise BadSetting(f"{name} must be {rule}, got {value!r}")
        return value or None

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal() or not least <= int(value) <= most:
            raise BadSetting(f"{name} must be a whole number from {least} to {most}, got {value!r}")
        return int(value)

    def url(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if not re.fullmatch(r"https?://[^\s/]\S*", value):
            raise BadSetting(f"{name} must begin with https:// or http:// and name a host, got {value!r}")
        return value.rstrip("/")

    def secret(self, name: str) -> SecretStr | None:
        value = self.text(name, "")
        return SecretStr(value) if value else None

    def secret_url(self, name: str) -> SecretStr | None:
        """An address that may hold a key: no message repeats it."""
        value = self.text(name, "")
        if value and not re.match(r"https?://.", value):
            raise BadSetting(f"{name} must begin with https:// or http://")
        return SecretStr(value.rstrip("/")) if value else None

    def mongo(self) -> tuple[SecretStr | None, str]:
        """MONGO_URL and MONGO_DB. A database without a server is none: the variable is older than the mirror."""
        url, database = self.text("MONGO_URL", ""), self.text("MONGO_DB", "")
        if not url:
            return None, ""
        if not re.match(r"mongodb(\+srv)?://.", url):
            raise BadSetting("MONGO_URL must begin with mongodb:// or mongodb+srv:// and name a host")
        if not re.fullmatch(r"[\w-]{1,63}", database):
            raise BadSetting(
                "MONGO_URL is set, and MONGO_DB must then name a database in letters, digits, _ and -, at most 63 "
                f"characters: got {len(database)} characters"
            )
        return SecretStr(url), database

    def mlflow(self) -> SecretStr | None:
        """MLFLOW_TRACKING_URI: a server, or a folder as an absolute path."""
        value = self.text("MLFLOW_TRACKING_URI", "").removeprefix("file://")
        if "://" in value and not re.match(r"https?://.", value):
            raise BadSetting("MLFLOW_TRACKING_URI must be a folder, or begin with https:// or http:// and name a host")
        if not value or "://" in value:
            return SecretStr(value.rstrip("/")) if value else None
        return SecretStr(str(Path(value).expanduser().absolute()))

    def notify_urls(self, name: str) -> tuple[SecretStr, ...]:
        """Apprise addresses between spaces, lines or commas; an address may hold commas. No message repeats one."""
        urls = [url for url in re.split(r"[\s,]+(?=[\w+.-]+://)|\s+", self.text(name, "")) if url]
        for number, url in enumerate(urls, start=1):
            if not re.match(r"[\w+.-]+://.", url):
                raise BadSetting(
                    f"{name}: address {number} of {len(urls)} has no scheme such as mailto:// or slack://: "
                    "see https://github.com/caronc/apprise/wiki"
                )
        return tuple(SecretStr(url) for url in dict.fromkeys(urls))

    def zone(self, name: str) -> str | None:
        """A time zone, also as Indonesians call theirs."""
        value = self.text(name, "")
        if not value:
            return None
        try:
            return ZoneInfo(_INDONESIAN_ZONES.get(value.upper(), value)).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadSetting(
                f"{name} must be a zone such as Asia/Jakarta, or WIB, WITA or WIT, got {value!r}"
            ) from None

    def address(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            return value if value == "localhost" else str(ipaddress.ip_address(value))
        except ValueError:
            raise BadSetting(f"{name} must be localhost or an IP address such as 127.0.0.1, got {value!r}") from None

    def file(self, name: str) -> Path | None:
        value = self.text(name, "")
        if not value:
            return None
        path = Path(value).expanduser().absolute()
        if not path.is_file():
            raise BadSetting(f"{name} must name a file, got {value!r}")
        return path

    def instant(self, name: str) -> datetime | None:
        value = self.text(name, "")
        if not value:
            return None
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            raise BadSetting(f"{name} must be an ISO time such as 2026-01-31T12:00:00Z, got {value!r}") from None
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)

    def refuse_misspelt(self, written: Iterable[str], known: Iterable[str]) -> None:
        """Raise for a name `written` in `.env` that nobody reads and that is close to one that was looked up here, or
        to a `known` one. Names of other programs pass.
        """
        names = self._known | set(known)
        wrong = {name: near for name in written if name not in names and (near := _nearest(name, names))}
        if wrong:
            problems = "; ".join(f"{name} is no variable, the nearest is {near}" for name, near in wrong.items())
            raise BadSetting(f".env: {problems}: correct it, or take it out (.env.example lists every variable)")

    def refuse_unread(self, lines: Mapping[str, int], known: Iterable[str]) -> None:
        """Raise for a line of `.env` that cannot be read and begins with one of our names, or with nearly one."""
        names = self._known | set(known)
        for name, line in lines.items():
            if name in names or _nearest(name, names):
                raise BadSetting(f".env, line {line}: {name} is not followed by =value with closed quotes: correct it")


def _nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    found = [(_distance(name.upper(), known), known) for known in names if _close(name.upper(), known)]
    return min(found)[1] if found else None


def _close(name: str, known: str) -> bool:
    """Few other letters, or a known name cut short or continued (POSTGRES_PASS, DVC_REMOTE)."""
    shorter = min(len(name), len(known))
    if name[:1] != known[:1] or max(len(name), len(known)) < 4:
        return False
    distance = _distance(name, known)
    continued = shorter >= 8 and (name.startswith(known) or known.startswith(name))
    return distance <= (4 if continued else 2 if shorter >= 8 else 1)


def _distance(one: str, other: str) -> int:
    """Letters to insert, drop, replace or swap with their neighbour (optimal string alignment)."""
    before, row = list[int](), list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, expected in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != expected))
            if i > 1 and j > 1 and one[i - 2] == expected and letter == other[j - 2]:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
    return row[-1]
