"""Removes from the DVC cache and remote what no kept version needs. A remote must serve only one branch `pipeline`."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import RetentionRules
from mlops_assets.versioning.dvc.objects import pointed_object
from mlops_assets.versioning.dvc.remote import DEFAULT_FOLDER
from mlops_assets.versioning.git.commands import Git
from mlops_assets.versioning.git.pipeline_commit import POINTERS
from mlops_assets.versioning.git.user_repository import BRANCH
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.version_data import NO_LONGER_STORED
from mlops_assets.versioning.versions import Version

_ANCHOR = "anchor"


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
    anchors: Sequence[str] = (),
) -> RetentionPlan:
    """What stays of `versions` (newest first).

    `deployed` are model versions, the live one first, then its predecessors, newest first. `pinned` maps folder
    versions that a tag, another branch or a work tree names to that name. `anchors` are model versions that new models
    are compared with, now or later.
    """
    keep: dict[str, str] = dict(pinned)
    serving = deployed[: rules.predecessors + 1]
    holds_serving: dict[int, str] = {}
    trained_on: dict[int, str] = {}
    for model in reversed(serving):
        reason = "serves" if model == serving[0] else "rollback"
        for index in _newest(versions, lambda version, model=model: model in version.models.values()):
            holds_serving[index] = reason
            # Another model of that version may be a later one, trained on other data.
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
    keep = dict.fromkeys(_anchors(versions, anchors), _ANCHOR) | keep
    drop: dict[str, str] = {}
    for version in versions:
        for output, name in version.objects.items():
            if name not in keep:
                drop.setdefault(name, f"{output} of {version.commit[:12]}")
    return RetentionPlan(keep, drop)


def _anchors(versions: Sequence[Version], models: Sequence[str]) -> set[str]:
    """The folder versions of these models alone: nobody needs the data that they were trained on."""
    return {
        version.objects[path]
        for version in versions
        for kind, model in version.models.items()
        if model in models and (path := f"models/{kind}") in version.objects
    }


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


@dataclass(frozen=True)
class Pruned:
    """What was, or with `dry_run` would be, removed; `freed_bytes` counts the cache and a remote that is a folder."""

    plan: RetentionPlan
    cache: tuple[str, ...]
    remote: tuple[str, ...]
    freed_bytes: int


def prune_versions(
    repository: VersionRepository,
    *,
    now: datetime,
    rules: RetentionRules,
    deployed: Sequence[str],
    report: Callable[[str], None],
    anchors: Callable[[], Sequence[str]] = tuple,
    dry_run: bool = False,
) -> Pruned:
    """Report what will go, then remove it from cache and remote. `deployed`: the live model version first. `anchors` is
    asked once the branch is known.

    Raises `PermanentFailure`, having removed nothing, if the files of a kept version cannot be known.
    """
    clone = repository.clone
    with repository.locked():
        unseen = repository.look_at_origin()
        if unseen:
            report(f"{unseen}; nothing is removed from the remote, since another clone's version may need it")
        versions = repository.newest_versions()
        pinned = pinned_objects(clone.user.git)
        plan = plan_retention(versions, now=now, rules=rules, deployed=deployed, pinned=pinned, anchors=anchors())
        away = {
            name: version.elsewhere
            for version in versions
            if version.elsewhere not in ("", NO_LONGER_STORED)
            for name in version.objects.values()
        }
        for where, count in Counter(where for name, where in away.items() if name in plan.keep).items():
            report(f"folder versions that stay but are not here, so nothing of them is removed: {count} {where}")
        # Earlier releases kept no anchors, so theirs may be gone. Decisions then say so.
        gone = {
            name
            for name, why in plan.keep.items()
            if why == _ANCHOR and name not in away and repository.data.listing(name) is None
        }
        if gone:
            report(f"models that new ones would be compared with, gone from cache and remote: {len(gone)}")
        needed = _objects(repository, plan.keep, may_lack={*away, *gone})
        dropped = _objects(repository, plan.drop, may_lack=plan.drop)
        cache, remote = clone.cache, clone.remote
        own_remote = remote.folder is not None and remote.folder.root == clone.user_root / DEFAULT_FOLDER
        in_cache = removable(cache.ages(), needed=needed, dropped=dropped, unknown_too=True, rules=rules)
        in_remote = (
            []
            if unseen
            else removable(remote.ages(), needed=needed, dropped=dropped, unknown_too=own_remote, rules=rules)
        )
        freed = cache.size(in_cache) + (remote.folder.size(in_remote) if remote.folder else 0)
        for name, what in plan.drop.items():
            if name in in_cache or name in in_remote:
                report(f"remove {what} ({name.removesuffix('.dir')[:12]})")
        report(
            f"remove {len(in_cache)} objects from the cache and {len(in_remote)} from the remote, "
            f"{freed / 1e6:.1f} MB; {len(plan.keep)} folder versions stay"
        )
        if not dry_run:
            if in_remote:
                remote.delete(in_remote)
            cache.delete(in_cache)
        return Pruned(plan, tuple(in_cache), tuple(in_remote), freed)


def pinned_objects(git: Git) -> dict[str, str]:
    """Folder versions that a tag, another branch or a work tree of the user names, with that ref."""
    named = {}
    for line in git.run("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)").splitlines():
        ref, *objects = line.split()
        if ref != f"refs/heads/{BRANCH}" and not (ref.startswith("refs/remotes/") and ref.endswith(f"/{BRANCH}")):
            named[objects[-1]] = ref
    for line in git.run("worktree", "list", "--porcelain").splitlines():
        if line.startswith("HEAD "):
            named.setdefault(line.removeprefix("HEAD "), "a work tree's HEAD")
    request = [(f"{commit}:{path}", ref) for commit, ref in named.items() for path in POINTERS]
    pinned = {}
    for content, (_, ref) in zip(git.blobs([name for name, _ in request]), request, strict=True):
        if content is not None:
            pinned[pointed_object(content.decode("utf-8", "replace"))] = ref
    return pinned


def _objects(repository: VersionRepository, names: Iterable[str], *, may_lack: Collection[str]) -> set[str]:
    """The folder versions' lists and every file they name; only those in `may_lack` may be out of reach."""
    found: set[str] = set()
    for name in names:
        found.add(name)
        listing = repository.data.listing(name)
        if listing is not None:
            found |= set(listing.values())
        elif name not in may_lack:
            raise PermanentFailure(
                f"neither cache nor remote has the list {name} of a version that stays, so nothing was removed: "
                "restore the remote, or remove the tag that names it, and run again"
            )
    return found
