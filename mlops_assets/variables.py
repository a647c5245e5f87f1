"""Variables as typed values; where they come from is settings.py's."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_assets.failures import PermanentFailure

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


class BadSetting(PermanentFailure):
    """A variable or parameter breaks its rule."""


class Variables:
    """Typed look-ups that name the variable, its value and the rule when one is broken."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str) -> str:
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
