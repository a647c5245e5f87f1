"""The folder `.pipeline/`: a clone of the user's repository, made anew if it was deleted or damaged."""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import psutil
import yaml
from filelock import FileLock, Timeout

from mlops_assets.versioning.git.access import parse_settings
from mlops_assets.versioning.git.commands import Git, GitFailure, LockHeld
from mlops_assets.versioning.git.pipeline_commit import AUTHOR, EMAIL, FILES, POINTERS
from mlops_assets.versioning.git.user_repository import BRANCH, UserRepository
from mlops_assets.versioning.staging import RECORD

USER_HEAD = "refs/user/head"
"""The user's HEAD, as last fetched."""
SENDING = "sending-to-user"
"""A file in the clone's git folder while the branch is pushed to the user: left over, it means a push was killed."""

_LOCK = ".lock"
_EXCLUDED = (f"/{_LOCK}", f"/{RECORD}", *(f"/{path.removesuffix('.dvc')}" for path in POINTERS), ".gitignore")
_SETTINGS = {
    "remote.origin.url": "..",
    "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
    "user.name": AUTHOR,
    "user.email": EMAIL,
    "core.logAllRefUpdates": "false",  # three lines a run, for ever; the user's branch has a log of its own
    "core.sparseCheckout": "true",
    "core.sparseCheckoutCone": "false",
    "gc.autoDetach": "false",
    "advice.detachedHead": "false",
    # Against the settings of a person, for DVC and for plain commands here: the pipeline's own git does not read them.
    "core.autocrlf": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "commit.gpgSign": "false",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
}
_ATTRIBUTES = "* -text -filter -ident -working-tree-encoding\n"
"""Files stay as they were committed: no Git LFS, no line ends. These attributes win over every .gitattributes."""
_UPLOAD_PACK = "git -c 'safe.directory=*' upload-pack"
"""The sender of the user's commits. `UserRepository.at` has asked whether the user trusts that repository."""
_UPLOAD_PACK_OF_A_PARTIAL_CLONE = (
    "env -u GIT_CONFIG_GLOBAL -u GIT_CONFIG_NOSYSTEM GIT_NO_LAZY_FETCH=0 "
    "git -c 'safe.directory=*' -c uploadpack.allowFilter=true upload-pack"
)
"""It fetches contents that the user's clone lacks from the user's origin, with the user's credentials."""
_STALE_AFTER_S = 3.0


@dataclass(frozen=True)
class PrivateClone:
    """The clone at `folder`, a direct subfolder of the user's repository: its origin is the relative path `..`."""

    folder: Path
    user: UserRepository
    environment: Mapping[str, str]
    lock_wait_s: float

    @property
    def git(self) -> Git:
        return Git(self.folder, self.folder / ".git", self.environment, self.lock_wait_s)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One pipeline process at a time; the system releases this lock when its holder dies."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            self.folder.unlink()
        self.folder.mkdir(exist_ok=True)
        try:
            with FileLock(self.folder / _LOCK, timeout=self.lock_wait_s):
                yield
        except Timeout as error:
            raise LockHeld(
                f"{self.folder / _LOCK} is held for more than {self.lock_wait_s:g} s: "
                "another pipeline process versions here, let it end and run again"
            ) from error

    def exists(self) -> bool:
        try:
            return (self.folder / ".git" / "HEAD").is_file() and self._settings().get("remote.origin.url") == ".."
        except GitFailure:  # damaged
            return False

    def configure(self) -> None:
        """Add the settings that the clone lacks, for example because an earlier version made it."""
        self._configure(self.git, self.folder / ".git")

    def make(self) -> None:
        """A new, empty clone in place of whatever git data is there; the DVC cache stays."""
        for name in (".git", ".git.partial", ".dvc/tmp"):
            _remove(self.folder / name)
        partial = self.folder / ".git.partial"
        git = Git(self.folder, partial, self.environment, self.lock_wait_s)
        git.run(
            "init", "--quiet", "--template=", f"--initial-branch={BRANCH}",
            f"--object-format={self.user.object_format()}",
        )  # fmt: skip
        git.run("config", "--unset-all", "core.worktree")
        self._configure(git, partial)
        partial.rename(self.folder / ".git")

    def _configure(self, git: Git, git_dir: Path) -> None:
        settings = self._settings(git)
        sender = _UPLOAD_PACK_OF_A_PARTIAL_CLONE if self.user.partial else _UPLOAD_PACK
        for name, value in {**_SETTINGS, "remote.origin.uploadpack": sender}.items():
            if settings.get(name.lower()) != value:
                git.run("config", "--replace-all", name, value)
        info = git_dir / "info"
        info.mkdir(exist_ok=True)
        for name, text in (("exclude", "".join(f"{line}\n" for line in _EXCLUDED)), ("attributes", _ATTRIBUTES)):
            if not (info / name).is_file() or (info / name).read_text(encoding="utf-8") != text:
                (info / name).write_text(text, encoding="utf-8")

    def _settings(self, git: Git | None = None) -> dict[str, str]:
        return dict(parse_settings((git or self.git).run("config", "--local", "--null", "--list")))

    def check_out(self, tip: str | None) -> None:
        """Make the work tree that of the branch's tip (before the first commit: HEAD's), whatever it was."""
        if tip is not None:
            self._write_tree(tip, "-B", BRANCH)
            return
        if self.git.commit(USER_HEAD):
            self.look_at(USER_HEAD)
        self.git.run("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
        self.git.run("update-ref", "-d", f"refs/heads/{BRANCH}")

    def look_at(self, commit: str) -> None:
        """Put another commit's files into the work tree; `check_out` comes back."""
        self._write_tree(commit, "--detach")

    def _write_tree(self, commit: str, *how: str) -> None:
        write_patterns(self.git, commit, FILES)
        self.git.run("checkout", "--quiet", "--force", *how, commit)

    def clear_stale_locks(self) -> None:
        """Remove git's lock files that no process can be holding; wait for those that a process may hold.

        Only pipeline processes and the user's own commands work here. The caller holds the clone's lock, so a lock
        file belongs to a git that runs in this folder, or to one that was killed. In the user's repository only the
        branch's own lock can be ours, and only if a push of ours was killed.
        """
        self._clear(self._git_locks, self.folder)
        if (self.git.git_dir / SENDING).exists():
            self._clear(self._lock_of_a_killed_push, self.user.root, self.user.common_dir())
            (self.git.git_dir / SENDING).unlink()

    def _clear(self, find_locks: Callable[[], list[Path]], *folders: Path) -> None:
        deadline = time.monotonic() + self.lock_wait_s
        while locks := find_locks():
            holders = [holder for folder in folders for holder in _processes_in(folder)]
            if not holders and all(_age_s(lock) >= _STALE_AFTER_S for lock in locks):
                for lock in locks:
                    lock.unlink(missing_ok=True)
                return
            if holders and time.monotonic() >= deadline:
                raise LockHeld(
                    f"{locks[0]} is held for more than {self.lock_wait_s:g} s by {holders[0]}: "
                    "let it end, or end it, and run again"
                )
            time.sleep(0.1)

    def _lock_of_a_killed_push(self) -> list[Path]:
        lock = self.user.common_dir() / "refs" / "heads" / f"{BRANCH}.lock"
        begun = (self.git.git_dir / SENDING).stat().st_mtime
        return [lock] if lock.exists() and lock.stat().st_mtime >= begun else []

    def _git_locks(self) -> list[Path]:
        git_dir = self.folder / ".git"
        return [*git_dir.glob("*.lock"), *(git_dir / "refs").rglob("*.lock")]


def _processes_in(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["name", "cwd", "pid"]):
        about = process.info
        if about["cwd"] and Path(about["cwd"]).is_relative_to(folder) and (about["name"] or "").startswith("git"):
            found.append(f"{about['name']} (process {about['pid']})")
    return found


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return _STALE_AFTER_S


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_READ_BY_DVC = ("/.dvc/", "/dvc.yaml", "/dvc.lock", "/params.yaml", ".dvcignore", ".gitignore")


def write_patterns(git: Git, commit: str, files: Sequence[str]) -> None:
    """Have the next checkout of `commit` write these files, and those that its dvc.yaml names (`params`, `vars` …)."""
    patterns = [*_READ_BY_DVC, *(_pattern(path) for path in sorted({*files, *_named_in_dvc_yaml(git, commit)}))]
    path = git.git_dir / "info" / "sparse-checkout"
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{pattern}\n" for pattern in patterns)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _named_in_dvc_yaml(git: Git, commit: str) -> set[str]:
    content = git.blobs([f"{commit}:dvc.yaml"])[0]
    try:
        read: Any = yaml.safe_load(content or b"")
    except yaml.YAMLError:
        return set()  # DVC says what is wrong with it
    words = {part for word in _words(read) for part in (word, word.partition(":")[0])}
    paths = sorted({str(PurePosixPath(word)) for word in words if _may_be_a_path(word)})
    if not paths:
        return set()
    entries = git.run("ls-tree", "-z", commit, "--", *paths).split("\0")
    return {path for about, _, path in (entry.partition("\t") for entry in entries) if " blob " in about}


def _words(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _words(name)
            yield from _words(value)
    elif isinstance(content, list):
        for value in content:
            yield from _words(value)


def _may_be_a_path(word: str) -> bool:
    path = PurePosixPath(word)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not set(word) & set("\0\n${")


def _pattern(path: str) -> str:
    return "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
