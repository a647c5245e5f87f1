"""What the triggers ask the user's repository: where HEAD stands among the release branches, what waits at origin."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.child_process import run_child
from mlops_assets.failures import TransientFailure
from mlops_assets.proxies import through_proxy
from mlops_assets.settings import child_environment
from mlops_assets.versioning.git.access import ACCESS, parse_settings, reaching, ssh_variables
from mlops_assets.versioning.git.commands import ProgramMissing, what_git_said, with_settings
from mlops_assets.versioning.git.pipeline_branch import FILES

_FETCH_S = 20.0


@dataclass(frozen=True)
class Position:
    """Where HEAD stands.

    on: the branch that is checked out, `detached`, or empty outside a repository
    release: the release branch that it is on, or that contains a detached HEAD; none where HEAD is on no release branch
    commit: none before the first
    problem: what git says where it does not read the repository
    """

    on: str
    release: str | None
    commit: str | None
    problem: str = ""

    @property
    def said(self) -> str:
        if self.problem:
            return f"git does not read this repository: {self.problem}"
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
            return Position("", None, None, self._problem())
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
                "fetch", "--quiet", "--no-tags", "origin", f"+refs/heads/{branch}:{there}",
                timeout_s=_FETCH_S, more=self._unattended(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Upstream(problem=f"origin gave no answer in {_FETCH_S:g} s{through_proxy(url)}")
        if done.returncode:
            return Upstream(problem=f"origin could not be fetched: {what_git_said(done.stderr)}{through_proxy(url)}")
        counted = self._answer("rev-list", "--count", f"HEAD..{there}")
        return Upstream(int(counted or 0))

    def fast_forward(self, branch: str) -> str | None:
        """Move the checked-out `branch` to origin's; why not, where that would be more than a step ahead."""
        if self._answer("symbolic-ref", "--quiet", "--short", "HEAD") != branch:
            return f"HEAD is not on {branch}"
        status = self._git("status", "--porcelain", "--untracked-files=no")
        if status.returncode:
            return f"git status says: {what_git_said(status.stderr)}"
        if changed := status.stdout.splitlines():
            return f"the work tree is not clean ({len(changed)} changed files)"
        done = self._git("merge", "--ff-only", "--quiet", f"refs/remotes/origin/{branch}")
        return f"git merge --ff-only says: {what_git_said(done.stderr)}" if done.returncode else None

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
            raise TransientFailure(f"git diff failed in {self._root}: {what_git_said(done.stderr)}")
        return done.stdout.splitlines()

    def _answer(self, *arguments: str) -> str | None:
        done = self._git(*arguments)
        return done.stdout.removesuffix("\n") if done.returncode == 0 else None

    def _problem(self) -> str:
        done = self._git("rev-parse", "--git-dir")
        silent = done.returncode == 0 or "not a git repository (or any" in done.stderr
        return "" if silent else done.stderr.strip()

    def _unattended(self) -> dict[str, str]:
        """What has git ask nobody and wait for nobody for long, beside what the user set for this repository."""
        user = parse_settings(self._answer("config", "--null", "--get-regexp", ACCESS))
        set_by_user = {name.lower() for name, _ in user}
        patience = tuple((name, value) for name, value in reaching(()) if name.lower() not in set_by_user)
        environment = child_environment()
        return {**with_settings(environment, patience), **ssh_variables(environment, user)}

    def _git(
        self, *arguments: str, timeout_s: float = 60, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **child_environment(),
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "SSH_ASKPASS": "true",
            "GIT_CEILING_DIRECTORIES": str(self._root.parent),
            **(more or {}),
        }
        try:
            done = run_child(
                ["git", "--no-optional-locks", *arguments], cwd=self._root, env=environment, timeout_s=timeout_s
            )
        except FileNotFoundError as error:
            raise ProgramMissing("git is not on PATH: install git 2.32 or newer") from error
        output, said = (part.decode("utf-8", "surrogateescape") for part in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, output, said)
