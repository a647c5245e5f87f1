"""What the sensor asks the user's repository: where the watched branch is, and what differs between two commits."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from mlops_assets.failures import TransientFailure


class GitHistory:
    """Read-only questions to the repository at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def watched_head(self, branches: Sequence[str]) -> tuple[str | None, str | None]:
        """The first of `branches` that exists, and its commit; (None, None) where none does."""
        for branch in branches:
            done = self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
            if done.returncode == 0:
                return branch, done.stdout.strip()
        return None, None

    def head(self) -> tuple[str, str]:
        """The branch (`detached` where none is checked out) and the commit; both empty before the first commit."""
        commit = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if commit.returncode:
            return "", ""
        branch = self._git("symbolic-ref", "--quiet", "--short", "HEAD")
        return branch.stdout.strip() or "detached", commit.stdout.strip()

    def touched(self, before: str, after: str, paths: Sequence[str]) -> list[str]:
        """Files below `paths` that differ between two commits; where `before` is gone, everything counts."""
        if self._git("cat-file", "-e", f"{before}^{{commit}}").returncode:
            return [f"{before[:12]} is gone from the repository"]
        done = self._git("diff", "--name-only", before, after, "--", *paths)
        if done.returncode:
            raise TransientFailure(f"git diff failed in {self._root}: {done.stderr.strip()}")
        return done.stdout.splitlines()

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(self._root), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
