"""Which DVC remote a clone uses where nobody names one, and whether other clones can reach what lies there."""

import os
from pathlib import Path

from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.remote_url import DEFAULT_FOLDER, Remote, committed_url, folder_of

PRIVATE_CLONE = ".pipeline"


class RemoteGone(PermanentFailure):
    """The shared folder that this clone used is not there."""


def choose_remote(named: Remote | None, user_root: Path, last_used: str | None) -> Remote:
    """The remote that the branch names where this clone may write there, else the folder `.dvc-remote` in the clone.

    A folder inside another clone belongs to that clone: it is read from (`readable`) and never written to, since
    that clone's own pruning would remove what it does not know. Raises `RemoteGone` where this clone used a shared
    folder that is gone: going on in silence with a folder of its own would end the sharing.
    """
    default = Remote(committed_url(None, user_root))
    if named is None or named.folder is None:
        return named or default
    if other_clone(named.folder, user_root) is not None:
        return default
    if _may(named.folder, os.R_OK | os.W_OK | os.X_OK):
        return named
    if named.url == last_used and lies_outside(named.url, user_root) and named.folder.name != DEFAULT_FOLDER:
        raise RemoteGone(
            f"the DVC remote {named.url}, which branch pipeline names and this clone used, is not there or cannot be "
            f"written: mount it, or name another one in DVC_REMOTE_URL (DVC_REMOTE_URL={DEFAULT_FOLDER} goes on in "
            "this clone alone)"
        )
    return default


def lies_outside(url: str, user_root: Path) -> bool:
    """Whether the remote lies outside the clone's folder, links resolved: only then other clones can count on it."""
    folder = folder_of(url)
    return folder is None or not folder.resolve().is_relative_to(user_root.resolve())


def readable(remote: Remote | None) -> Path | None:
    """The remote's folder where it is one and can be read from here."""
    folder = remote.folder if remote else None
    return folder if folder is not None and _may(folder, os.R_OK | os.X_OK) else None


def other_clone(folder: Path, user_root: Path) -> Path | None:
    """The clone of this project, other than `user_root`, in whose folder the remote lies."""
    for parent in folder.resolve().parents:
        if parent == user_root.resolve():
            return None
        if os.path.lexists(parent / ".git") and (
            os.path.lexists(parent / PRIVATE_CLONE)
            or (folder.name == DEFAULT_FOLDER and folder.resolve().parent == parent)
        ):
            return parent
    return None


def _may(folder: Path, how: int) -> bool:
    return os.path.isdir(folder) and os.access(folder, how)  # noqa: PTH112  Path.is_dir raises where access is denied
