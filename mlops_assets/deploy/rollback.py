"""Which earlier release a rollback returns to."""

from collections.abc import Sequence

from mlops_assets.deploy.history import Entry
from mlops_assets.failures import PermanentFailure

KEPT = 5
"""So many releases that were live stay on the machine, ready to be live again."""


class NoWayBack(PermanentFailure):
    """The log knows no such release."""


def choose(last_live: Sequence[Entry], live: str | None, to: str | None = None) -> Entry:
    """The entry to return to: `to` (a release or model version), else the newest that is not live.

    `last_live` holds each release once, the newest first, as `DeploymentLog.last_live(KEPT)` gives it.
    """
    known = ", ".join(f"{entry.release_version} (model {entry.model_version})" for entry in last_live) or "none"
    if to is not None:
        for entry in last_live:
            if to in (entry.release_version, entry.model_version):
                return entry
        raise NoWayBack(f"TO={to} is none of the last {KEPT} releases that were live: {known}")
    for entry in last_live:
        if entry.release_version != live:
            return entry
    raise NoWayBack(f"no release was live before {live or 'now'}: known are {known}")
