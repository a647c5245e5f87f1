"""Questions of the triggers to the user's repository: where HEAD stands, and what waits at origin."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_assets.proxies import through_proxy
from mlops_assets.settings import child_environment
from mlops_assets.versioning.git.access import ACCESS, parse_settings, reaching, ssh_variables
from mlops_assets.versioning.git.commands import Git, GitFailure, LockHeld, NoAnswerInTime
from mlops_assets.versioning.git.pipeline_commit import FILES

_FETCH_S = 20.0
_ANSWER_S = 60.0
_LOCK_WAIT_S = 5.0
"""A sensor's evaluation has to end within a minute."""


@dataclass(frozen=True)
class Position:
    """Where HEAD stands.

    on: the branch that is checked out, `detached`, or empty outside a repository
    release: the release branch that is checked out, or that contains a detached HEAD; else None
    commit: None before the first
    problem: git's message if it does not read the repository
    """

    on: str
    release: str | None
    commit: str | None
    problem: str = ""

    def __str__(self) -> str:
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

    @property
    def _git(self) -> Git:
        return Git(
            self._root, self._root / ".git", child_environment(), _LOCK_WAIT_S, timeout_s=_ANSWER_S, as_the_user=True
        )

    def position(self, branches: Sequence[str]) -> Position:
        """Where HEAD stands among the release branches `branches`."""
        git = self._git
        try:
            branch, commit = _branch(git), git.commit("HEAD")
        except GitFailure as error:
            no_repository = "not a git repository (or any" in error.stderr
            return Position("", None, None, "" if no_repository else error.stderr)
        if branch is not None:
            return Position(branch, branch if branch in branches else None, commit)
        refs = [(name, f"refs/{kind}/{name}") for name in branches for kind in ("heads", "remotes/origin")]
        tips = ((name, git.commit(ref)) for name, ref in refs)
        holding = (name for name, tip in tips if commit and tip and git.is_ancestor(commit, tip))
        return Position("detached", next(holding, None), commit)

    def fetch(self, branch: str) -> Upstream:
        """Fetch origin's `branch`, if there is an origin, and count the commits that HEAD lacks."""
        git = self._git
        url = git.answer("remote", "get-url", "origin")
        if url is None:
            return Upstream()
        fetched = f"refs/remotes/origin/{branch}"
        refspec = f"+refs/heads/{branch}:{fetched}"
        try:
            _unattended(git).run("fetch", "--quiet", "--no-tags", "origin", refspec, timeout_s=_FETCH_S)
        except NoAnswerInTime:
            return Upstream(problem=f"origin gave no answer in {_FETCH_S:g} s{through_proxy(url)}")
        except (GitFailure, LockHeld) as error:
            return Upstream(problem=f"origin could not be fetched: {error}{through_proxy(url)}")
        return Upstream(int(git.run("rev-list", "--count", f"HEAD..{fetched}")) if git.commit("HEAD") else 0)

    def fast_forward(self, branch: str, *, keeping: Sequence[str] = ()) -> str | None:
        """Move the checked-out `branch` to origin's. The reason if that is not a plain step ahead, or changes a file in
        `keeping`; else None.
        """
        git = self._git
        if _branch(git) != branch:
            return f"HEAD is not on {branch}"
        try:
            changed = git.run("status", "--porcelain", "--untracked-files=no").splitlines()
            if changed:
                return f"the work tree is not clean ({len(changed)} changed files)"
            if touched := self.touched("HEAD", f"refs/remotes/origin/{branch}", keeping) if keeping else []:
                return f"they change {', '.join(touched)}, which the image is built from: git pull && make up"
            git.run("merge", "--ff-only", "--quiet", f"refs/remotes/origin/{branch}")
        except (GitFailure, LockHeld) as error:
            return str(error)
        return None

    def head(self) -> tuple[str, str]:
        """The branch (`detached` if none is checked out) and the commit; both empty before the first commit."""
        try:
            commit = self._git.commit("HEAD")
        except GitFailure:  # no repository
            return "", ""
        return (_branch(self._git) or "detached", commit) if commit else ("", "")

    def touched(self, before: str, after: str, paths: Sequence[str]) -> list[str]:
        """Files below `paths` that differ between two commits, less those that the pipeline itself commits.

        If `before` is gone from the repository, that alone counts as a change.
        """
        git = self._git
        if git.commit(before) is None:
            return [f"{before[:12]} is gone from the repository"]
        own = [f":(exclude){path}" for path in FILES]
        return git.run("diff", "--name-only", before, after, "--", *paths, *own).splitlines()


def _branch(git: Git) -> str | None:
    return git.answer("symbolic-ref", "--quiet", "--short", "HEAD")


def _unattended(git: Git) -> Git:
    """Git that asks nobody for a password and gives up on a silent server, unless the user's settings differ."""
    user = parse_settings(git.answer("config", "--null", "--get-regexp", ACCESS))
    set_by_user = {name.lower() for name, _ in user}
    patience = tuple((name, value) for name, value in reaching(()) if name.lower() not in set_by_user)
    return replace(git, environment={**git.environment, **ssh_variables(git.environment, user)}, config=patience)
