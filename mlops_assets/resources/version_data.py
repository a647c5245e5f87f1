"""The data of versions, wherever it lies: the private clone's cache, its remote, the remote that a version names.

A version that another clone made may name a folder inside that clone. It is read from here where that is possible, and
never written to.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.resources.chosen_remote import other_clone, readable
from mlops_assets.resources.data_remote import DataRemote
from mlops_assets.resources.dvc_commands import Dvc, DvcFailure
from mlops_assets.resources.dvc_objects import ObjectFolder, damaged, parse_listing
from mlops_assets.resources.remote_url import DEFAULT_FOLDER, Remote

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

    def __init__(self, dvc: Dvc, cache: ObjectFolder, remote: DataRemote, used: Remote, user_root: Path) -> None:
        self._dvc, self.cache, self.remote, self._used, self._user_root = dvc, cache, remote, used, user_root

    def cached(self, name: str) -> bool:
        """Whether the cache holds the folder version, every file of it."""
        return self.cache.holds(name) and all(self.cache.holds(item) for item in self.cache.listing(name).values())

    def bring(self, pointer: str, name: str, named: Remote | None) -> bool:
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

    def _lost_files(self, name: str) -> bool:
        """Whether the remote answers that it lacks files of the folder version."""
        listing = self.listing(name)
        return listing is None or bool(self.remote.missing(dict.fromkeys([name, *listing.values()])))

    def _copy(self, name: str, source: ObjectFolder) -> None:
        """Copy the folder version from a folder of objects into the cache, its list last; damaged ones stay out."""
        if not source.holds(name):
            return
        files: Mapping[str, str] = source.listing(name)
        for item in [*sorted(set(files.values())), name]:
            if self.cache.holds(item):
                continue
            if not source.holds(item) or damaged(source, [item]):
                return
            target = self.cache.path(item)
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = target.with_name(f"{target.name}.{os.getpid()}.partial")
            shutil.copyfile(source.path(item), scratch)
            scratch.replace(target)
