"""The DVC remote in use: what it lacks, pushing until it has everything, deleting."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops_assets.failures import TransientFailure
from mlops_assets.versioning.dvc.commands import Dvc, DvcFailure
from mlops_assets.versioning.dvc.objects import ObjectFolder, damaged, parse_listing
from mlops_assets.versioning.dvc.remote import DEFAULT_FOLDER, Remote

_log = logging.getLogger(__name__)


class PushNotProven(TransientFailure):
    """DVC reported success, and the remote lacks objects."""


class DamagedCache(TransientFailure):
    """The content of cached objects did not match their names; they were removed."""


class DataRemote:
    """The remote that `dvc` pushes the clone's cache to. DVC's own answers are not trusted: objects are looked for.

    address: its URL and options
    folder: its objects, if it is a folder
    """

    def __init__(self, dvc: Dvc, cache: ObjectFolder, address: Remote) -> None:
        self._dvc, self._cache, self.address = dvc, cache, address
        self.folder = ObjectFolder(address.folder) if address.folder else None

    def missing(self, objects: Mapping[str, int | None]) -> list[str]:
        """Those of the objects that the remote lacks or holds in another size than the given one."""
        if self.folder is None:
            try:
                held = self._dvc.remote_holds(objects)
            except DvcFailure as error:
                raise DvcFailure(
                    f"{error}; it is {self.address.url}, by DVC_REMOTE_URL or by the branch pipeline: give its "
                    f"credentials to the environment, or set DVC_REMOTE_URL={DEFAULT_FOLDER} to go on in this clone "
                    "alone"
                ) from error
            return sorted(objects.keys() - held)
        return sorted(name for name, size in objects.items() if not _has(self.folder.path(name), size))

    def objects_of(self, names: Iterable[str]) -> dict[str, int | None]:
        """Every object of the folder versions `<md5>.dir`, the lists included, with its size if it is known."""
        found: dict[str, int | None] = {}
        for name in names:
            source = self._cache if self._cache.holds(name) else self.folder
            if source is None or not source.holds(name):
                found[name] = None  # only the remote can say; its own list proves itself and DVC uploads it last
                continue
            found[name] = source.path(name).stat().st_size
            for item in source.listing(name).values():
                cached = self._cache.path(item)
                found[item] = cached.stat().st_size if cached.is_file() else None
        return found

    def push(self, pointers: Mapping[str, str]) -> int:
        """Upload what the remote lacks of the pointers (path to `<md5>.dir`), and prove it; the count of objects.

        DVC skips a folder whose list is in the remote, even if files are gone, so the list is removed first.
        """
        objects = self.objects_of(pointers.values())
        absent = self.missing(objects)
        if not absent:
            return 0
        self._refuse_damaged(absent)
        if self.folder is not None:
            self.delete(name for name in absent if self.folder.holds(name))  # of another size: cut short, or garbage
        absent = [*absent, *self._remove_lists(pointers.values(), set(absent))]
        self._dvc.push(list(pointers))
        left = self.missing(objects)
        if left:  # DVC's index named objects that the remote has lost
            self._remove_lists(pointers.values(), set(left))
            self._dvc.forget_remote()
            self._dvc.push(list(pointers))
            left = self.missing(objects)
        if not left and self.folder is not None:
            left = damaged(self.folder, absent)
            for name in left:
                self.folder.path(name).unlink()
        if left:
            raise PushNotProven(
                f"the DVC remote {self.address.url} lacks {len(left)} of {len(objects)} objects after the push, "
                f"first {left[0]}: check its space and permissions, and run again"
            )
        return len(absent)

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; lists of folders first, so that DVC never takes half a folder for a complete folder."""
        if self.folder is None:
            self._dvc.remote_delete(sorted(names, key=lambda name: (not name.endswith(".dir"), name)))
        else:
            self.folder.delete(names)
        self._dvc.forget_remote()

    def ages(self) -> Mapping[str, float | None]:
        """Every object with its age in seconds, None if the remote keeps no times."""
        return self._dvc.remote_list() if self.folder is None else self.folder.ages()

    def read_listing(self, name: str) -> dict[str, str] | None:
        """The files of a folder version by relative path, None if the remote lacks it."""
        if self.folder is not None:
            return self.folder.listing(name) if self.folder.holds(name) else None
        return None if self.missing({name: None}) else parse_listing(self._dvc.remote_read(name).encode())

    def _remove_lists(self, names: Iterable[str], absent: set[str]) -> list[str]:
        """Remove from the remote the lists of folders that lack files there."""
        lists = sorted(
            name
            for name in set(names) - absent
            if self._cache.holds(name) and not absent.isdisjoint(self._cache.listing(name).values())
        )
        if lists:
            self.delete(lists)
        return lists

    def _refuse_damaged(self, absent: Iterable[str]) -> None:
        bad = damaged(self._cache, [name for name in absent if self._cache.holds(name)])
        for name in bad:
            self._cache.path(name).unlink()
        if bad:
            self._dvc.forget_everything()
            raise DamagedCache(f"{len(bad)} objects of the DVC cache were damaged, first {bad[0]}: removed, run again")


def _has(path: Path, size: int | None) -> bool:
    try:
        found = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return False
    return size is None or found == size
