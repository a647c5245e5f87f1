"""Which versions' data and models stay: pure planning; `retention.py` removes objects."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_assets.params.versions import RetentionRules
from mlops_assets.versioning.versions import Version


@dataclass(frozen=True)
class RetentionPlan:
    """Folder versions (`<md5>.dir`) to keep, with the reason, and those that nothing needs any more."""

    keep: Mapping[str, str]
    drop: Mapping[str, str]
    """The path and the commit that named each dropped folder version."""


def plan_retention(
    versions: Sequence[Version],
    *,
    now: datetime,
    rules: RetentionRules,
    deployed: Sequence[str],
    pinned: Mapping[str, str],
) -> RetentionPlan:
    """What stays of `versions` (newest first).

    `deployed` are model versions, the live one first, then its predecessors, newest first. `pinned` maps folder
    versions that a tag, another branch or a work tree names to that name.
    """
    keep: dict[str, str] = dict(pinned)
    serving = deployed[: rules.predecessors + 1]
    holds_serving: dict[int, str] = {}
    trained_on: dict[int, str] = {}
    for model in reversed(serving):
        reason = "serves" if model == serving[0] else "rollback"
        for index in _newest(versions, lambda version, model=model: model in version.models.values()):
            holds_serving[index] = reason
            # The other model of that version may be a later one, trained on other data.
            holder = versions[index]
            data = {holder.data_of(kind) for kind, held in holder.models.items() if held == model}
            for data_index in _newest(versions, lambda version, data=data: version.dataset_version in data):
                trained_on[data_index] = reason
    replaced_at = None
    for index, version in enumerate(versions):
        for output, name in version.objects.items():
            is_data = output.startswith("data/")
            days = rules.data_days if is_data else rules.models_days
            reason = (
                "current"
                if replaced_at is None
                else holds_serving.get(index)
                or (trained_on.get(index) if is_data else None)
                or (f"replaced within {days} days" if now - replaced_at <= timedelta(days=days) else None)
            )
            if reason:
                keep.setdefault(name, reason)
        replaced_at = version.at
    drop: dict[str, str] = {}
    for version in versions:
        for output, name in version.objects.items():
            if name not in keep:
                drop.setdefault(name, f"{output} of {version.commit[:12]}")
    return RetentionPlan(keep, drop)


def removable(
    stored: Mapping[str, float | None],
    *,
    needed: AbstractSet[str],
    dropped: AbstractSet[str],
    unknown_too: bool,
    rules: RetentionRules,
) -> list[str]:
    """The objects to remove from a store; `stored` maps its objects to their age in seconds, None if unknown.

    `needed` are all objects of the kept folder versions, `dropped` those of the dropped versions. Objects that no
    version names are removed only from a store that belongs to the pipeline alone (`unknown_too`), once they are old
    enough.
    """
    least_s = rules.unknown_days * 86_400
    return sorted(
        name
        for name, age_s in stored.items()
        if name not in needed and (name in dropped or (unknown_too and age_s is not None and age_s >= least_s))
    )


def _newest(versions: Sequence[Version], is_meant: Any) -> Iterable[int]:
    return next(([index] for index, version in enumerate(versions) if is_meant(version)), [])
