"""The section `play_store` of params.yaml."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from mlops_assets.failures import PermanentFailure

_RANGES: dict[str, tuple[float, float]] = {
    "page_size": (1, 4500),
    "requests_per_second": (0.001, 1000),
    "apps_at_once": (1, 32),
    "overlap_days": (0, 3650),
    "retries": (0, 100),
    "backoff_s": (0, 600),
    "backoff_most_s": (0, 3600),
    "give_up_after_s": (0, 86400),
    "connect_timeout_s": (0.01, 600),
    "read_timeout_s": (0.01, 600),
    "deletions_percent": (0, 100),
    "flush_reviews": (1, 1_000_000),
}
_WHOLE = {"page_size", "apps_at_once", "retries", "flush_reviews"}


class BadOption(PermanentFailure):
    """A parameter of the section `play_store` breaks its rule."""


@dataclass(frozen=True)
class CollectOptions:
    """How reviews are collected.

    page_size: reviews to ask for; the store answers what it likes
    requests_per_second: shared by all apps and processes of an instance
    overlap_days: a tick re-reads so far back for edits, replies and deletions, at most one page's worth
    retries, backoff_s, backoff_most_s, give_up_after_s: the budget of one page
    deletions_percent: a crawl that finds more of a month's reviews vanished is held until accept_deletions
    flush_reviews: reviews kept in memory before they go from the crawl's journal into the months
    """

    language: str = "id"
    country: str = "ID"
    page_size: int = 199
    requests_per_second: float = 5.0
    apps_at_once: int = 4
    overlap_days: float = 14.0
    retries: int = 6
    backoff_s: float = 1.0
    backoff_most_s: float = 60.0
    give_up_after_s: float = 300.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    deletions_percent: float = 5.0
    accept_deletions: bool = False
    flush_reviews: int = 10_000
    user_agent: str = "mlops-assets review collector"

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not least <= value <= most:
                raise BadOption(f"play_store.{name} must be a number from {least:g} to {most:g}, got {value!r}")
            if name in _WHOLE and not isinstance(value, int):
                raise BadOption(f"play_store.{name} must be a whole number, got {value!r}")
        if not isinstance(self.accept_deletions, bool):
            raise BadOption(f"play_store.accept_deletions must be true or false, got {self.accept_deletions!r}")
        if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", str(self.language)):
            raise BadOption(f"play_store.language must be a language code such as id, got {self.language!r}")
        # YAML reads a bare NO as false; Norway is a country.
        if not re.fullmatch(r"[A-Za-z]{2}", str(self.country)):
            raise BadOption(f'play_store.country must be a country code such as "ID", got {self.country!r}')
        if not isinstance(self.user_agent, str) or not re.fullmatch(r"[ -~]+", self.user_agent):
            raise BadOption(f"play_store.user_agent must be printable ASCII, got {self.user_agent!r}")

    @classmethod
    def from_params(cls, section: Mapping[str, Any]) -> Self:
        """The options of params.yaml; raises `BadOption` on an unknown name or a value against its rule."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(str(name) for name in section.keys() - known)
        if unknown:
            raise BadOption(f"play_store.{unknown[0]} is no parameter, known are {', '.join(sorted(known))}")
        return cls(**section)
