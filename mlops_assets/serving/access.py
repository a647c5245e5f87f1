"""Who may use the API, and how often."""

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops_assets.serving.problems import Refused

ANONYMOUS = "anonymous"


@dataclass
class Access:
    """API keys (name to SHA-256 in hex) and a token bucket for each; without keys every caller is `anonymous`."""

    keys: Mapping[str, str]
    rate_per_s: float = 0.0
    burst: int = 0
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def identify(self, authorization: str | None) -> str:
        """The caller's name; raises `Refused` 401 without a valid key."""
        if not self.keys:
            return ANONYMOUS
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for name, known in self.keys.items():  # Every key is compared, so that the time reveals nothing.
            if hmac.compare_digest(digest, known):
                found = name
        if found is None or scheme.lower() != "bearer":
            raise Refused(
                401,
                "this needs a valid API key: send Authorization: Bearer <key>",
                field="Authorization",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found

    def admit(self, caller: str) -> None:
        """Take one text, which every request costs, even if it is refused later; raises `Refused` 429 without any."""
        self._take(caller, 1, at_least=1)

    def spend(self, caller: str, texts: int) -> None:
        """Take the further texts of an admitted request; raises `Refused` 429 if the caller is in debt.

        A batch may cost more than the bucket holds: that leaves a debt, and the caller waits until it is paid.
        """
        self._take(caller, texts, at_least=0)

    def _take(self, caller: str, texts: int, *, at_least: int) -> None:
        if not self.rate_per_s:
            return
        most = float(max(self.burst, self.rate_per_s, 1))
        now = self.clock()
        tokens, before = self._buckets.get(caller, (most, now))
        tokens = min(most, tokens + (now - before) * self.rate_per_s)
        if tokens < at_least:
            self._buckets[caller] = (tokens, now)
            wait_s = math.ceil((1 - tokens) / self.rate_per_s)
            raise Refused(
                429,
                f"key {caller} may send {self.rate_per_s:g} texts per second: retry in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )
        self._buckets[caller] = (tokens - texts, now)
