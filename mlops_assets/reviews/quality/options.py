"""The section `validation` of params.yaml: its parameters, their rules, and the line that changes them."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from math import isfinite
from typing import Any, Self

import yaml

from mlops_assets.failures import PermanentFailure

LEAST_POSITIVE, MOST_POSITIVE = 0.30, 0.90


@dataclass(frozen=True)
class ValidationOptions:
    """Percents are of reviews; a sample is drawn anew from equal data alike.

    positive_share: by app, the least and the most share of positive labels, where 0.30 and 0.90 are wrong for it
    positive_share_since: by app, the day (UTC) of a lasting change of that share; older reviews are not compared with
    """

    most_quarantined_percent: float = 5
    most_repeated_percent: float = 60
    most_template_percent: float = 10
    most_foreign_percent: float = 10
    most_mismatched_percent: float = 30
    sample: int = 2000
    positive_share: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    positive_share_since: Mapping[str, date] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _BY_APP:
                continue
            if not _is_number(value):
                raise PermanentFailure(f"params.yaml: validation.{one.name} must be a number, got {value!r}")
            if one.name.endswith("_percent") and not 0 <= value <= 100:
                raise PermanentFailure(f"params.yaml: validation.{one.name} must be 0 to 100, got {value}")
        if self.sample != int(self.sample) or self.sample < 100:
            raise PermanentFailure(f"params.yaml: validation.sample must be a whole number from 100, got {self.sample}")
        for name, (read, example) in _BY_APP.items():
            object.__setattr__(self, name, _by_app(name, getattr(self, name), read, example))

    @classmethod
    def from_params(cls, section: Mapping[str, Any]) -> Self:
        """Options from the section; a name that is none of them is refused."""
        known = [one.name for one in fields(cls)]
        unknown = sorted(str(name) for name in section if name not in known)
        if unknown:
            raise PermanentFailure(
                f"params.yaml: validation.{unknown[0]} is no parameter, known are {', '.join(known)}"
            )
        return cls(**section)

    def require_apps(self, known: Collection[str], today: date) -> None:
        """Raise where a parameter names an app that does not exist, or a day that is still to come."""
        for name in _BY_APP:
            for app in getattr(self, name):
                if app not in known:
                    raise PermanentFailure(
                        f"params.yaml: validation.{name} names {app}, but the apps here are "
                        f"{', '.join(sorted(known))}: correct the name, or add the app under apps"
                    )
        for app, day in self.positive_share_since.items():
            if day > today + timedelta(days=1):
                raise PermanentFailure(
                    f"params.yaml: validation.positive_share_since: the day of {app} must not be after today, {today}, "
                    f"got {day}: write the day from which on its reviews differ"
                )

    def bounds_of(self, app: str) -> tuple[float, float]:
        """The least and the most share of positive labels of an app."""
        return self.positive_share.get(app, (LEAST_POSITIVE, MOST_POSITIVE))

    def line_with(self, name: str, added: Mapping[str, object]) -> str:
        """The section as one line of params.yaml, with these apps added to the parameter `name`.

        It ends in a comment: whoever copies the rest of the message with it, or a full stop, still has correct YAML.
        """
        plain: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _BY_APP:
                entries = {**value, **(added if one.name == name else {})}
                value = {app: list(entry) if isinstance(entry, tuple) else entry for app, entry in entries.items()}
            if value != getattr(ValidationOptions(), one.name):
                plain[one.name] = value
        said = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=10**9)
        return f"validation: {said.strip()}  # see docs/validation.md"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _by_app(name: str, value: object, read: Any, example: str) -> Mapping[str, Any]:
    """The parameter's entries, each read; an empty parameter has none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PermanentFailure(f"params.yaml: validation.{name} must map apps, such as {example}, got {value!r}")
    return {str(app): read(f"validation.{name}: {app}", entry) for app, entry in value.items()}


def _read_bounds(name: str, value: Any) -> tuple[float, float]:
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(one) for one in value)
    if not pair or not 0 <= value[0] < value[1] <= 1:
        raise PermanentFailure(
            f"params.yaml: {name} must be the least and the most share of positive labels, from 0 to 1 and the "
            f"smaller one first, such as [0.05, 0.99], got {value!r}"
        )
    return float(value[0]), float(value[1])


def _read_day(name: str, value: Any) -> date:
    if isinstance(value, str):
        with suppress(ValueError):
            value = date.fromisoformat(value)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise PermanentFailure(f"params.yaml: {name} must be a day such as 2026-01-31, got {value!r}")
    return value


_BY_APP: Mapping[str, tuple[Any, str]] = {
    "positive_share": (_read_bounds, "{com.example.app: [0.05, 0.99]}"),
    "positive_share_since": (_read_day, "{com.example.app: 2026-01-31}"),
}
