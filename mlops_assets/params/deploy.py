"""The section `deploy`: how a new release is judged before and after traffic is switched to it."""

from typing import ClassVar

from pydantic import Field

from mlops_assets.params.section import Section


class Watching(Section):
    """How a new release is judged: by what clients ask it if they ask enough, else by test requests."""

    section: ClassVar[str] = "deploy"

    ready_timeout_s: float = Field(default=60.0, ge=0)
    """Seconds that a new release may take until it answers. Raise it for a large model or a slow machine."""
    watch_s: float = Field(default=3.0, ge=0)
    """Seconds that a new release is watched after the switch. If it fails in that time, the old one comes back."""
    slower_at_most: float = Field(default=5.0, ge=0)
    """A new release may take this many times the old one's time to answer."""
    always_fast_s: float = Field(default=0.25, ge=0)
    """Answers within this many seconds are never too slow."""

    def limit_s(self, usual_s: float) -> float:
        """Over this it is too slow, where the old one takes `usual_s`."""
        return max(self.always_fast_s, self.slower_at_most * usual_s)
