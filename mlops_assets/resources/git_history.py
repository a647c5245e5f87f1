"""What the triggers ask the user's repository: where HEAD stands among the release branches, what waits at origin."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.failures import TransientFailure
from mlops_assets.proxies import through_proxy
from mlops_assets.resources.pipeline_branch import FILES
from mlops_assets.settings import child_environment

_FETCH_S = 20


@dataclass(frozen=True)
class Position:
    """Where HEAD stands.

    on: the branch that is checked out, `detached`, or empty outside a repository
    release: the release branch that it is on, or that contains a detached HEAD; none where HEAD is on no release branch
    commit: none before the first
    """

    on: str
    release: str | None
    commit: str | None

    @property
    def said(self) -> str:
        if not self.on:
            return "this folder is no git repository"
        return f"HEAD is {'detached' if self.on == 'detached' else f'on {self.on}'}"


@dataclass(frozen=True)
class Upstream:
    """Commits at origin that HEAD lacks; `problem` says why they could not be counted."""

    waiting: int = 0
    problem: str = ""


class GitHistory:
    """Questions to the repository at `root`; only `fetch` and `fast_forward` change anything there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def position(self, branches: Sequence[str]) -> Position:
        """Where HEAD stands among the release branches `branches`."""
        commit = self._answer("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        branch = self._answer("symbolic-ref", "--quiet", "--short", "HEAD")
        if branch is not None:
            return Position(branch, branch if branch in branches else None, commit)
        if commit is None:
            return Position("", None, None)
        refs = [(name, f"refs/{place}/{name}") for name in branches for place in ("heads", "remotes/origin")]
        holding = (name for name, ref in refs if self._git("merge-base", "--is-ancestor", commit, ref).returncode == 0)
        return Position("detached", next(holding, None), commit)

    def fetch(self, branch: str) -> Upstream:
        """Bring origin's `branch` here, where there is an origin, and count what waits there."""
        url = self._answer("remote", "get-url", "origin")
        if url is None:
            return Upstream()
        there = f"refs/remotes/origin/{branch}"
        try:
            done = self._git(
                "fetch", "--quiet", "--no-tags", "origin", f"+refs/heads/{branch}:{there}", timeout_s=_FETCH_S
            )
        except subprocess.TimeoutExpired:
            return Upstream(problem=f"origin gave no answer in {_FETCH_S} s{through_proxy(url)}")
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            return Upstream(problem=f"origin could not be fetched: {lines[0]}{through_proxy(url)}")
        counted = self._answer("rev-list", "--count", f"HEAD..{there}")
        return Upstream(int(counted or 0))

    def fast_forward(self, branch: str) -> str | None:
        """Move the checked-out `branch` to origin's; why not, where that would be more than a step ahead."""
        if self._answer("symbolic-ref", "--quiet", "--short", "HEAD") != branch:
            return f"HEAD is not on {branch}"
        if changed := self._answer("status", "--porcelain", "--untracked-files=no"):
            return f"the work tree is not clean ({len(changed.splitlines())} changed files)"
        done = self._git("merge", "--ff-only", "--quiet", f"refs/remotes/origin/{branch}")
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            return f"git merge --ff-only says: {lines[0]}"
        return None

    def head(self) -> tuple[str, str]:
        """The branch (`detached` where none is checked out) and the commit; both empty before the first commit."""
        commit = self._answer("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if commit is None:
            return "", ""
        return self._answer("symbolic-ref", "--quiet", "--short", "HEAD") or "detached", commit

    def touched(self, before: str, after: str, paths: Sequence[str]) -> list[str]:
        """Files below `paths` that differ between two commits; where `before` is gone, everything counts.

        What the pipeline itself commits does not count, also where its branch was merged.
        """
        if self._git("cat-file", "-e", f"{before}^{{commit}}").returncode:
            return [f"{before[:12]} is gone from the repository"]
        own = [f":(exclude){path}" for path in FILES]
        done = self._git("diff", "--name-only", before, after, "--", *paths, *own)
        if done.returncode:
            raise TransientFailure(f"git diff failed in {self._root}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def _answer(self, *arguments: str) -> str | None:
        done = self._git(*arguments)
        return done.stdout.strip() if done.returncode == 0 else None

    def _git(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(self._root), *arguments],
            env={**child_environment(), "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
