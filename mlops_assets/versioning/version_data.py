"""The data of versions, wherever it lies: the private clone's cache, its remote, the remote that a version names.

A version that another clone made may name a folder inside that clone. It is read from here where that is possible, and
never written to.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.versioning.dvc.chosen_remote import other_clone, readable
from mlops_assets.versioning.dvc.commands import Dvc, DvcFailure
from mlops_assets.versioning.dvc.data_remote import DataRemote
from mlops_assets.versioning.dvc.objects import ObjectFolder, damaged, parse_listing, pointed_object
from mlops_assets.versioning.dvc.remote_url import DEFAULT_FOLDER, Remote, named_remote
from mlops_assets.versioning.git.pipeline_branch import PipelineBranch
from mlops_assets.versioning.git.pipeline_commit import CONFIG
from mlops_assets.versioning.git.user_repository import BRANCH

DATA = ("data/raw", "data/validated")
NO_LONGER_STORED = "no longer stored"
"""What is said of a version's data that was pruned, or that this clone's own remote lost."""


@dataclass(frozen=True)
class Base:
    """What the next version goes on from.

    commit: the version whose data it is compared with; None where there is none, or none in reach
    anew: why the newest version's data is not it, in one line
    foreign: versions of other clones whose reviews are in reach and may not be in this clone yet
    """

    commit: str | None = None
    anew: str | None = None
    foreign: tuple[str, ...] = ()


class VersionData:
    """Brings folder versions (`<md5>.dir`) into the cache; says where those are that it cannot bring."""

    def __init__(
        self, dvc: Dvc, cache: ObjectFolder, remote: DataRemote, used: Remote, user_root: Path, branch: PipelineBranch
    ) -> None:
        self._dvc, self.cache, self.remote, self._used, self._user_root = dvc, cache, remote, used, user_root
        self._branch = branch

    def base(self) -> Base:
        """What the next version goes on from."""
        tip, own, overtook = self._branch.tip(), self._branch.own(), self._branch.overtook()
        if tip is None:
            return Base()
        theirs = tip if tip != own or self._branch.from_elsewhere() else None
        others = [commit for commit in (overtook, theirs) if commit]
        foreign = tuple(commit for commit in dict.fromkeys(others) if self.bring(commit, DATA))
        if self.bring(tip, DATA):
            return Base(tip, None, foreign)
        usable = own if own and own != tip and self.bring(own, DATA) else None
        return Base(usable, f"this clone starts anew: {self.said_of(tip, DATA)}", foreign)

    def cached(self, name: str) -> bool:
        """Whether the cache holds the folder version, every file of it."""
        return self.cache.holds(name) and all(self.cache.holds(item) for item in self.cache.listing(name).values())

    def bring(self, commit: str, outputs: Iterable[str]) -> bool:
        """Download what a version's outputs consist of into the cache; whether all of it is there."""
        pointers = {path: self._branch.file(commit, path) for path in (f"{output}.dvc" for output in outputs)}
        objects = {path: pointed_object(text) for path, text in pointers.items() if text is not None}
        if all(map(self.cached, objects.values())):
            return True
        named, tip = self._named_by(commit), self._branch.tip()
        self._branch.clone.look_at(commit)
        try:
            return all(self._bring(path, name, named) for path, name in objects.items())
        finally:
            self._branch.clone.check_out(tip)

    def said_of(self, commit: str, outputs: Iterable[str]) -> str:
        """What is said of a version whose data cannot be brought here."""
        pointers = {output: self._branch.file(commit, f"{output}.dvc") for output in outputs}
        names = {output: pointed_object(text) for output, text in pointers.items() if text}
        lost = next((output for output, name in names.items() if not self.cached(name)), "data")
        place = self.elsewhere(names.values(), self._named_by(commit)) or "pruned, or lost there"
        return (
            f"neither cache nor remote ({self._used.url}) holds {lost} of version {commit[:12]} on branch {BRANCH}; "
            f"it is {place}"
        )

    def listing(self, name: str) -> dict[str, str] | None:
        """The files of the folder version as cache or remote have it, None where neither does."""
        for folder in (self.cache, self.remote.folder):
            if folder is not None and folder.holds(name):
                return folder.listing(name)
        if self.remote.folder is not None or self.remote.missing({name: None}):
            return None
        return parse_listing(self._dvc.remote_read(name).encode())

    def elsewhere(self, names: Iterable[str], named: Remote | None) -> str:
        """Where the folder versions lie that are not in reach, in a few words; empty where all are, or may be."""
        source = readable(named)
        folders = [self.cache, self.remote.folder, ObjectFolder(source) if source else None]
        known = [folder for folder in folders if folder is not None]
        if all(any(folder.holds(name) for folder in known) for name in names):
            return ""
        if named is None or named.url == self._used.url:
            return "" if self.remote.folder is None else NO_LONGER_STORED
        if named.folder is None:
            return f"in {named.url}"
        if named.folder.name == DEFAULT_FOLDER or other_clone(named.folder, self._user_root):
            return f"in another clone ({named.url})"
        return f"in {named.url}, which this machine does not reach"

    def _named_by(self, commit: str) -> Remote | None:
        return named_remote(self._branch.file(commit, CONFIG), self._user_root)

    def _bring(self, pointer: str, name: str, named: Remote | None) -> bool:
        """Make the cache hold the folder version `name` of the file `pointer` in the work tree; whether it does.

        `named` is the remote that the version itself names. Raises `DvcFailure` where a remote does not answer.
        """
        if self.cached(name):
            return True
        if not self.remote.missing({name: None}):
            try:
                self._dvc.fetch([pointer])
            except DvcFailure:
                if not self._lost_files(name):
                    raise
        source = readable(named)
        if not self.cached(name) and source is not None:
            self._copy(name, ObjectFolder(source))
        return self.cached(name)

    def _lost_files(self, name: str) -> bool:
        """Whether the remote answers that it lacks files of the folder version."""
        listing = self.listing(name)
        return listing is None or bool(self.remote.missing(dict.fromkeys([name, *listing.values()])))

    def _copy(self, name: str, source: ObjectFolder) -> None:
        """Copy the folder version from a folder of objects into the cache, its list last; damaged ones stay out."""
        if not os.access(source.path(name), os.R_OK):
            return
        files: Mapping[str, str] = source.listing(name)
        for item in [*sorted(set(files.values())), name]:
            if self.cache.holds(item):
                continue
            if not os.access(source.path(item), os.R_OK) or damaged(source, [item]):
                return
            target = self.cache.path(item)
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(f"{target.name}.{os.getpid()}.partial")
            shutil.copyfile(source.path(item), scratch)
            scratch.replace(target)
