"""The data of versions: in the private clone's cache, in its remote, in the remote that a version names.

A version that another clone made may name a folder inside that clone. It is read if possible, and never written to.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlops_assets.versioning.dvc.commands import DvcFailure
from mlops_assets.versioning.dvc.data_remote import DataRemote
from mlops_assets.versioning.dvc.objects import ObjectFolder, damaged, pointed_object
from mlops_assets.versioning.dvc.remote import DEFAULT_FOLDER, Remote, other_clone
from mlops_assets.versioning.git.pipeline_commit import CONFIG, OPTIONAL
from mlops_assets.versioning.git.user_repository import BRANCH
from mlops_assets.versioning.pipeline_clone import PipelineClone

DATA = ("data/raw", "data/validated", *OPTIONAL)
NO_LONGER_STORED = "no longer stored"
"""Of a version's data that was pruned, or that this clone's own remote lost."""


def data_version(pointers: Mapping[str, str | None]) -> str | None:
    """The name of the data that these pointers (path -> text) stand for; None without validated reviews.

    It is the digest of the validated reviews, and changes with the optional data if there is any; raw reviews do not
    count.
    """
    texts = {output: pointers.get(f"{output}.dvc") for output in DATA if not output.endswith("/raw")}
    named = {output: pointed_object(text) for output, text in texts.items() if text is not None}
    if (validated := named.get("data/validated")) is None:
        return None
    if len(named) == 1:
        return validated[:12]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Base:
    """What the next version goes on from.

    commit: the version whose data the next one is compared with; None if there is none, or none in reach
    anew: why that is not the newest version, in one line
    foreign: versions of other clones whose reviews are in reach and may not be in this clone yet
    """

    commit: str | None = None
    anew: str | None = None
    foreign: tuple[str, ...] = ()


class VersionData:
    """Brings folder versions (`<md5>.dir`) into the clone's cache, or says where they are."""

    def __init__(self, clone: PipelineClone) -> None:
        self._clone, self.cache, self._branch = clone, clone.cache, clone.branch

    @property
    def _remote(self) -> DataRemote:
        return self._clone.remote

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
        return Base(usable, f"this clone starts anew: {self.why_out_of_reach(tip, DATA)}", foreign)

    def bring(self, commit: str, outputs: Iterable[str]) -> bool:
        """Download a version's outputs into the cache; whether all of it is there."""
        pointers = {path: self._branch.file(commit, path) for path in (f"{output}.dvc" for output in outputs)}
        objects = {path: pointed_object(text) for path, text in pointers.items() if text is not None}
        if all(map(self.cache.is_complete, objects.values())):
            return True
        named, tip = self._named_by(commit), self._branch.tip()
        self._branch.clone.look_at(commit)
        try:
            return all(self._bring(path, name, named) for path, name in objects.items())
        finally:
            self._branch.clone.check_out(tip)

    def why_out_of_reach(self, commit: str, outputs: Iterable[str]) -> str:
        """Of a version whose data `bring` could not get: what is missing, and where it is."""
        pointers = {output: self._branch.file(commit, f"{output}.dvc") for output in outputs}
        names = {output: pointed_object(text) for output, text in pointers.items() if text}
        lost = next((output for output, name in names.items() if not self.cache.is_complete(name)), "data")
        where = self.elsewhere(names.values(), self._named_by(commit)) or "pruned, or lost there"
        return (
            f"neither cache nor remote ({self._remote.address.url}) holds {lost} of version {commit[:12]} "
            f"on branch {BRANCH}; it is {where}"
        )

    def listing(self, name: str) -> dict[str, str] | None:
        """The files of the folder version from cache or remote, None if neither has it."""
        return self.cache.listing(name) if self.cache.holds(name) else self._remote.read_listing(name)

    def elsewhere(self, names: Iterable[str], named: Remote | None) -> str:
        """Where folder versions are that are not in reach, in a few words; empty if all are, or may be."""
        source = named.readable_folder if named else None
        folders = [self.cache, self._remote.folder, ObjectFolder(source) if source else None]
        known = [folder for folder in folders if folder is not None]
        if all(any(folder.holds(name) for folder in known) for name in names):
            return ""
        if named is None or named.url == self._remote.address.url:
            return "" if self._remote.folder is None else NO_LONGER_STORED
        if named.folder is None:
            return f"in {named.url}"
        if named.folder.name == DEFAULT_FOLDER or other_clone(named.folder, self._clone.user_root):
            return f"in another clone ({named.url})"
        return f"in {named.url}, which this machine does not reach"

    def _named_by(self, commit: str) -> Remote | None:
        return self._clone.remote_named_in(self._branch.file(commit, CONFIG))

    def _bring(self, pointer: str, name: str, named: Remote | None) -> bool:
        """Get the folder version `name` of the file `pointer` in the work tree into the cache; whether it is there.

        `named` is the remote that the version itself names. Raises `DvcFailure` if a remote does not answer.
        """
        if self.cache.is_complete(name):
            return True
        if not self._remote.missing({name: None}):
            try:
                self._clone.dvc.fetch([pointer])
            except DvcFailure:
                if not self._lost_files(name):
                    raise
        source = named.readable_folder if named else None
        if not self.cache.is_complete(name) and source is not None:
            self._copy(name, ObjectFolder(source))
        return self.cache.is_complete(name)

    def _lost_files(self, name: str) -> bool:
        """Whether the remote answers that it lacks files of the folder version."""
        listing = self.listing(name)
        return listing is None or bool(self._remote.missing(dict.fromkeys([name, *listing.values()])))

    def _copy(self, name: str, source: ObjectFolder) -> None:
        """Copy the folder version from another folder into the cache, its list last; stop at a damaged object."""
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
