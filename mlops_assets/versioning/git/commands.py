"""Git as a program: one command at a time in one repository, waiting while another git process holds a lock."""

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlops_assets.child_process import run_child
from mlops_assets.failures import OutsideFailure, PermanentFailure, TransientFailure
from mlops_assets.proxies import through_proxy
from mlops_assets.versioning.git.access import Settings

_LOCK = re.compile(r"'([^']+\.lock)': File exists|could not lock config file (\S+): File exists")
_ALWAYS = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_EDITOR": "false",
    "SSH_ASKPASS": "true",  # an empty password, unless GIT_ASKPASS or core.askPass of the user gives one
}
_PLAIN: Settings = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("gc.autoDetach", "false"),
    ("color.ui", "false"),
    ("log.showSignature", "false"),
    ("i18n.logOutputEncoding", "UTF-8"),
)
"""Against a user's settings that would start something, or change git's output."""
_OWN_SETTINGS_ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
_PAUSE_S = 0.1
_PUSH_S = 300
_LINES = 12


class GitFailure(OutsideFailure):
    """Git failed; the message holds its standard error, `stderr`, as one line."""

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr or message


class NoAnswerInTime(GitFailure):
    """Git took too long and was ended."""


class LockHeld(TransientFailure):
    """Another process held a lock for longer than we wait."""


class ProgramMissing(PermanentFailure):
    """A program that versioning needs is not installed."""


@dataclass(frozen=True)
class PushOutcome:
    """How one push ended: `done`, `behind` (the other side has commits that we lack) or `refused`."""

    status: Literal["done", "behind", "refused"]
    reason: str = ""


@dataclass(frozen=True)
class Git:
    """Git in one repository.

    Git gets `git_dir` and never searches the folders above: from a damaged private clone it would find the user's.

    config: settings for these commands alone
    folder: where git runs, with the programs that it starts, if not in the work tree
    as_the_user: git finds the repository at `work_tree`, asks whether the user trusts its owner, and heeds their hooks
    """

    work_tree: Path
    git_dir: Path
    environment: Mapping[str, str]
    lock_wait_s: float = 60.0
    timeout_s: float = 600
    config: Settings = ()
    folder: Path | None = None
    as_the_user: bool = False

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Standard output of `git …`, less its last newline; raises `GitFailure` or, after waiting, `LockHeld`."""
        return _text(self.bytes_of(*arguments, stdin=stdin, extra=extra, timeout_s=timeout_s)).removesuffix("\n")

    def bytes_of(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        """Standard output, untouched."""
        done = self._finished(arguments, stdin, extra, timeout_s)
        if done.returncode:
            raise self._failure(arguments, done.stderr)
        return done.stdout

    def answer(self, *arguments: str) -> str | None:
        """Standard output, or None if git exits with 1 or 2: what was asked for does not exist."""
        done = self._finished(arguments)
        if done.returncode in (1, 2):
            return None
        if done.returncode:
            raise self._failure(arguments, done.stderr)
        return _text(done.stdout).removesuffix("\n")

    def commit(self, name: str) -> str | None:
        """The hash of the commit that a ref or a hash names; None if there is no such commit."""
        return self.answer("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether the history of the commit `newer` holds `older`; both must exist."""
        return self.answer("merge-base", "--is-ancestor", older, newer) is not None

    def file(self, commit: str | None, path: str) -> str | None:
        """The content of a tracked file in a commit, or None."""
        content = self.blobs([f"{commit}:{path}"])[0] if commit else None
        return None if content is None else content.decode("utf-8", "replace")

    def blobs(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents of many objects (`<commit>:<path>`) in one call, None for those that do not exist."""
        if not names:
            return []
        output = self.bytes_of("cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
        found: list[bytes | None] = []
        start = 0
        for _ in names:
            end = output.index(b"\n", start)
            header, start = output[start:end], end + 1
            if header.endswith(b" missing"):
                found.append(None)
                continue
            size = int(header.rsplit(b" ", 1)[1])
            found.append(output[start : start + size])
            start += size + 1
        return found

    def answers(self, url: str, timeout_s: float) -> bool:
        """Whether a server answers at all in this time; if it answers with an error, the push will report that."""
        try:
            self.run("ls-remote", "--heads", "--", url, "HEAD", timeout_s=timeout_s)
        except NoAnswerInTime:
            return False
        except GitFailure:
            return True
        return True

    def push(self, url: str, refspec: str, *, options: Sequence[str] = ()) -> PushOutcome:
        """Push one ref without running hooks here; never forces."""
        arguments = ("push", "--porcelain", "--no-verify", "--no-follow-tags", *options, "--", url, refspec)
        try:
            done = self._finished(arguments, timeout_s=_PUSH_S)
        except GitFailure as error:
            return PushOutcome("refused", str(error))
        if not done.returncode:
            return PushOutcome("done")
        output = _text(done.stdout) + _text(done.stderr)
        if re.search(r"^!.*\[rejected\].*\((non-fast-forward|fetch first|stale info)\)", output, re.MULTILINE):
            return PushOutcome("behind", "non-fast-forward")
        if re.search(r"cannot lock ref.*(but expected|reference already exists)", output):
            return PushOutcome("behind", "the branch moved during the push")
        refused = re.search(r"^!\t\S+\t(.+)$", _text(done.stdout), re.MULTILINE)
        reasons = [refused and refused.group(1), one_line(done.stderr) + through_proxy(url)]
        return PushOutcome("refused", "; ".join(filter(None, reasons)))

    def _failure(self, arguments: Sequence[str], stderr: bytes) -> GitFailure:
        reason = f"{one_line(stderr)}{_through(arguments)}"
        return GitFailure(
            f"git {_shown(arguments)} failed in {self.work_tree}: {reason}", _masked(_text(stderr).strip())
        )

    def _finished(
        self,
        arguments: Sequence[str],
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        timeout_s = timeout_s or self.timeout_s
        deadline = time.monotonic() + self.lock_wait_s
        while True:
            done = self._once(arguments, stdin, extra, timeout_s)
            held = _LOCK.search(_text(done.stderr)) if done.returncode else None
            if held is None:
                return done
            if time.monotonic() >= deadline:
                lock = held.group(1) or held.group(2)
                raise LockHeld(
                    f"{lock} is held for more than {self.lock_wait_s:g} s: end the git process that holds it, "
                    "or remove the file if none runs, and run again"
                )
            time.sleep(_PAUSE_S)

    def _once(
        self, arguments: Sequence[str], stdin: bytes, extra: Mapping[str, str] | None, timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        settings = self.config if self.as_the_user else (*_PLAIN, *self.config)
        environment = {
            **self.environment,
            **_ALWAYS,
            **with_settings(self.environment, settings),
            **self._which_repository(),
            **(extra or {}),
        }
        folder = self.folder or self.work_tree
        try:
            return run_child(["git", *arguments], cwd=folder, env=environment, stdin=stdin, timeout_s=timeout_s)
        except FileNotFoundError as error:
            if not self.work_tree.is_dir():
                raise GitFailure(f"{self.work_tree} is no folder: git cannot run there") from error
            raise ProgramMissing("git is not on PATH: install git 2.32 or newer") from error
        except subprocess.TimeoutExpired as error:
            raise NoAnswerInTime(
                f"git {_shown(arguments)} gave no answer in {timeout_s:g} s{_through(arguments)}"
            ) from error

    def _which_repository(self) -> dict[str, str]:
        if self.as_the_user:
            return {"GIT_CEILING_DIRECTORIES": str(self.work_tree.parent)}
        return {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.work_tree)}


def without_the_users_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which git and DVC read only the settings of their repository."""
    kept = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
    return {**kept, **_OWN_SETTINGS_ALONE}


def with_settings(environment: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Variables that give git these settings for one command, hidden from `ps`, after those of the environment."""
    count = environment.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (name, value) in enumerate(settings, start=first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def one_line(stderr: bytes) -> str:
    """Standard error as one line, passwords masked. The first line is often the cause, the last only its echo."""
    lines = [line.rsplit("\r", 1)[-1].strip() for line in _text(stderr).replace("\r\n", "\n").splitlines()]
    lines = [line for line in lines if line and not line.startswith("hint:")]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES // 2], "…", *lines[-_LINES // 2 :]]
    return _masked("; ".join(lines)) or "no reason given"


def _shown(arguments: Sequence[str]) -> str:
    return _masked(" ".join(arguments))


def _through(arguments: Sequence[str]) -> str:
    return next(filter(None, map(through_proxy, arguments)), "")


def _masked(text: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//***@", text)


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")
