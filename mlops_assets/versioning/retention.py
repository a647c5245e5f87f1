"""Removes from the DVC cache and remote what no kept version needs. A remote must serve only one branch `pipeline`."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.versions import RetentionRules
from mlops_assets.versioning.dvc.objects import pointed_object
from mlops_assets.versioning.dvc.remote import DEFAULT_FOLDER
from mlops_assets.versioning.git.commands import Git
from mlops_assets.versioning.git.pipeline_commit import POINTERS
from mlops_assets.versioning.git.user_repository import BRANCH
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.retention_plan import RetentionPlan, plan_retention, removable
from mlops_assets.versioning.version_data import NO_LONGER_STORED


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
    dry_run: bool = False,
) -> Pruned:
    """Report what will go, then remove it from cache and remote. `deployed`: the live model version first.

    Raises `PermanentFailure`, having removed nothing, if the files of a kept version cannot be known.
    """
    clone = repository.clone
    with repository.locked():
        unseen = repository.look_at_origin()
        if unseen:
            report(f"{unseen}; nothing is removed from the remote, since another clone's version may need it")
        versions = repository.newest_versions()
        plan = plan_retention(versions, now=now, rules=rules, deployed=deployed, pinned=pinned_objects(clone.user.git))
        away = {
            name: version.elsewhere
            for version in versions
            if version.elsewhere not in ("", NO_LONGER_STORED)
            for name in version.objects.values()
        }
        for where, count in Counter(where for name, where in away.items() if name in plan.keep).items():
            report(f"folder versions that stay but are not here, so nothing of them is removed: {count} {where}")
        needed = _objects(repository, plan.keep, may_lack=away)
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
