"""Git as a program: one command at a time in one repository, waiting where another git process holds a lock."""

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlops_assets.failures import OutsideFailure, PermanentFailure, TransientFailure
from mlops_assets.proxies import through_proxy

_LOCK = re.compile(r"'([^']+\.lock)': File exists|could not lock config file (\S+): File exists")
_ALWAYS = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_EDITOR": "false",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
}
_PAUSE_S = 0.1


class GitFailure(OutsideFailure):
    """Git said no; the message holds its last line."""


class LockHeld(TransientFailure):
    """Another process held a lock for longer than we wait."""


class ProgramMissing(PermanentFailure):
    """A program that versioning needs is not installed."""


@dataclass(frozen=True)
class PushOutcome:
    """What one push did: `done`, `behind` (the other side has commits that this one lacks) or `refused`."""

    status: Literal["done", "behind", "refused"]
    reason: str = ""


@dataclass(frozen=True)
class Git:
    """Git in one repository.

    `git_dir` is always given, so that git never looks for a repository in the folders above: with a damaged private
    clone it would find the user's.
    """

    work_tree: Path
    git_dir: Path
    environment: Mapping[str, str]
    lock_wait_s: float = 60.0
    config: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        extra: Mapping[str, str] | None = None,
        timeout_s: float = 600,
    ) -> str:
        """Standard output of `git …`, less its last newline; raises `GitFailure` or, after waiting, `LockHeld`."""
        done = self._finished(arguments, stdin, extra, timeout_s)
        if done.returncode:
            said = f"{_last_line(done.stderr)}{_through(arguments)}"
            raise GitFailure(f"git {_shown(arguments)} failed in {self.work_tree}: {said}")
        return _text(done.stdout).removesuffix("\n")

    def bytes_of(self, *arguments: str, stdin: bytes | None = None, extra: Mapping[str, str] | None = None) -> bytes:
        """Standard output, untouched."""
        done = self._finished(arguments, stdin, extra, 600)
        if done.returncode:
            raise GitFailure(f"git {_shown(arguments)} failed in {self.work_tree}: {_last_line(done.stderr)}")
        return done.stdout

    def blobs(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents of many objects (`<commit>:<path>`) in one call, None for those that do not exist."""
        if not names:
            return []
        answer = self.bytes_of("cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
        found: list[bytes | None] = []
        place = 0
        for _ in names:
            end = answer.index(b"\n", place)
            header, place = answer[place:end], end + 1
            if header.endswith(b" missing"):
                found.append(None)
                continue
            size = int(header.rsplit(b" ", 1)[1])
            found.append(answer[place : place + size])
            place += size + 1
        return found

    def answer(self, *arguments: str, extra: Mapping[str, str] | None = None) -> str | None:
        """Standard output, or None where git exits with 1 or 2: what was asked for does not exist."""
        done = self._finished(arguments, None, extra, 600)
        if done.returncode in (1, 2):
            return None
        if done.returncode:
            raise GitFailure(f"git {_shown(arguments)} failed in {self.work_tree}: {_last_line(done.stderr)}")
        return _text(done.stdout).removesuffix("\n")

    def holds(self, *arguments: str) -> bool:
        """Whether the claim that git tests with its exit status is true."""
        return self.answer(*arguments) is not None

    def push(self, url: str, refspec: str, *, options: Sequence[str] = (), timeout_s: float = 300) -> PushOutcome:
        """Push one ref, without hooks of ours; never forces."""
        arguments = ("push", "--porcelain", "--no-verify", "--no-follow-tags", *options, "--", url, refspec)
        try:
            done = self._finished(arguments, None, None, timeout_s)
        except GitFailure as error:
            return PushOutcome("refused", str(error))
        if not done.returncode:
            return PushOutcome("done")
        said = _text(done.stdout) + _text(done.stderr)
        if re.search(r"^!.*\[rejected\].*\((non-fast-forward|fetch first|stale info)\)", said, re.MULTILINE):
            return PushOutcome("behind", "non-fast-forward")
        if re.search(r"cannot lock ref.*(but expected|reference already exists)", said):
            return PushOutcome("behind", "the branch moved during the push")
        refused = re.search(r"^!\t\S+\t(.+)$", _text(done.stdout), re.MULTILINE)
        return PushOutcome("refused", refused.group(1) if refused else _last_line(done.stderr) + through_proxy(url))

    def _finished(
        self, arguments: Sequence[str], stdin: bytes | None, extra: Mapping[str, str] | None, timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
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
        self, arguments: Sequence[str], stdin: bytes | None, extra: Mapping[str, str] | None, timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {
            **self.environment,
            **_ALWAYS,
            **config_variables({"core.hooksPath": "/dev/null", "gc.autoDetach": "false", **self.config}),
            "GIT_DIR": str(self.git_dir),
            "GIT_WORK_TREE": str(self.work_tree),
            **(extra or {}),
        }
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.work_tree,
                env=environment,
                input=stdin if stdin is not None else b"",
                capture_output=True,
                check=False,
                start_new_session=True,  # without a terminal nothing below can ask for a password
                timeout=timeout_s,
            )
        except FileNotFoundError as error:
            if not self.work_tree.is_dir():
                raise GitFailure(f"{self.work_tree} is no folder: git cannot run there") from error
            raise ProgramMissing("git is not on PATH: install git 2.31 or newer") from error
        except subprocess.TimeoutExpired as error:
            raise GitFailure(
                f"git {_shown(arguments)} gave no answer in {timeout_s:g} s{_through(arguments)}"
            ) from error


def config_variables(config: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that give git these settings for one command, out of sight of `ps`."""
    variables = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (name, value) in enumerate(config.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _shown(arguments: Sequence[str]) -> str:
    return " ".join(re.sub(r"//[^/@\s]+@", "//***@", argument) for argument in arguments)


def _through(arguments: Sequence[str]) -> str:
    return next(filter(None, map(through_proxy, arguments)), "")


def _last_line(stderr: bytes) -> str:
    lines = [line.strip() for line in _text(stderr).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote: error:", "!"))]
    line = (telling or lines or ["no reason given"])[0 if telling else -1]
    return re.sub(r"//[^/@\s]+@", "//***@", line)


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")
