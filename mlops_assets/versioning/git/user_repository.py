"""The user's own git repository: read, never written; and why it cannot carry the pipeline's branch."""

import hashlib
import re
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.git.access import ACCESS, parse_settings, reaching, ssh_variables
from mlops_assets.versioning.git.commands import Git, GitFailure

BRANCH = "pipeline"


class NoRepository(PermanentFailure):
    """The folder is not the top of a git repository, or git does not read it."""


class BranchCheckedOut(PermanentFailure):
    """The pipeline's branch is checked out in the user's repository, so a push would change files under the user."""


@dataclass(frozen=True)
class Code:
    """The user's code at a moment: the commit (None before the first) and a hash of the uncommitted differences."""

    commit: str | None
    dirty: str | None


@dataclass(frozen=True)
class UserRepository:
    """Questions to the user's repository. The index is read from a copy, because `git diff` may refresh it."""

    root: Path
    git: Git

    @classmethod
    def at(cls, root: Path, environment: dict[str, str], lock_wait_s: float) -> "UserRepository":
        """The repository whose top folder is `root`; raises `NoRepository` for anything else."""
        if not (root / ".git").exists():
            raise NoRepository(
                f"{root} is no git repository: the pipeline versions with git, "
                "so clone the project, or run git init and commit there"
            )
        try:
            probe = Git(root, root / ".git", environment, lock_wait_s, as_the_user=True)
            git_dir = probe.run("rev-parse", "--absolute-git-dir")
        except GitFailure as error:
            raise NoRepository(f"git does not read the repository {root}: {error.stderr}") from error
        return cls(root, Git(root, Path(git_dir), environment, lock_wait_s))

    def refuse_checked_out_branch(self) -> None:
        """Raise `BranchCheckedOut` if a work tree of the user is on the pipeline's branch."""
        tree = ""
        for line in self.git.run("worktree", "list", "--porcelain").splitlines():
            name, _, value = line.partition(" ")
            if name == "worktree":
                tree = value
            elif name == "branch" and value == f"refs/heads/{BRANCH}":
                raise BranchCheckedOut(
                    f"branch {BRANCH} is checked out in {tree}, and the pipeline writes that branch: "
                    f"git -C {tree} checkout another branch (read versions in .pipeline/ instead), then run again"
                )

    def refs(self) -> dict[str, str]:
        """The commits of HEAD, of the pipeline's branch, and of origin's branch as last fetched."""
        found = {}
        for name in ("HEAD", f"refs/heads/{BRANCH}", f"refs/remotes/origin/{BRANCH}"):
            if commit := self.git.commit(name):
                found[name] = commit
        return found

    def code(self, scratch: Path) -> Code:
        """HEAD, and a hash of the difference of tracked files from it; the index is copied to `scratch`."""
        head = self.git.commit("HEAD")
        index = Path(self.git.run("rev-parse", "--path-format=absolute", "--git-path", "index"))
        if head is None or not index.is_file():
            return Code(head, None)
        shutil.copyfile(index, scratch)
        try:
            difference = self._difference(scratch)
        finally:
            scratch.unlink(missing_ok=True)
            scratch.with_name(scratch.name + ".lock").unlink(missing_ok=True)
        return Code(head, hashlib.sha256(difference).hexdigest()[:12] if difference else None)

    def _difference(self, index: Path) -> bytes:
        """How tracked files differ from HEAD, through the user's filters (Git LFS …) unless those fail."""
        command = (
            "-c", "core.splitIndex=false",
            "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD",
        )  # fmt: skip
        scratch = {"GIT_INDEX_FILE": str(index)}
        try:
            return self.git.bytes_of(*command, extra=scratch)
        except GitFailure:
            listed = self.git.answer("config", "--null", "--name-only", "--get-regexp", r"^filter\..*\.") or ""
            drivers = sorted({name.rpartition(".")[0] for name in listed.split("\0") if name})
            off = [(f"{name}.{key}", "") for name in drivers for key in ("process", "clean")]
            off += [(f"{name}.required", "false") for name in drivers]
            return replace(self.git, config=(*self.git.config, *off)).bytes_of(*command, extra=scratch)

    def common_dir(self) -> Path:
        """The git folder with the branches; a linked work tree has that of the repository it belongs to."""
        return Path(self.git.run("rev-parse", "--path-format=absolute", "--git-common-dir"))

    @cached_property
    def partial(self) -> bool:
        """Whether objects stay at the server until they are needed (`git clone --filter=…`)."""
        return self.git.answer("config", "--local", "--get-regexp", r"^remote\..*\.promisor$") is not None

    def object_format(self) -> str:
        """`sha1` or `sha256`."""
        return self.git.run("rev-parse", "--show-object-format")

    def origin(self, *, push: bool) -> str | None:
        """The URL of `origin`, a relative path made absolute; None without an origin."""
        url = self.git.answer("remote", "get-url", *(["--push"] if push else []), "origin")
        if not url:
            return None
        if "://" in url or re.match(r"[^/]+:", url):
            return url
        return str((self.root / Path(url).expanduser()).resolve())

    def on_the_way_to_origin(self, git: Git) -> Git:
        """`git` of the private clone, made to reach this repository's origin as the user would from here.

        It uses the user's credentials, proxies and ssh command, with paths relative to the top of this repository.
        """
        settings = parse_settings(self.git.answer("config", "--null", "--get-regexp", ACCESS))
        return replace(
            git,
            environment={**git.environment, **self._variables(), **ssh_variables(self.git.environment, settings)},
            config=(*git.config, *reaching(settings)),
            folder=self.root,
        )

    def _variables(self) -> dict[str, str]:
        """The user's variables for reaching a server, less those about git's settings."""
        return {
            name: value
            for name, value in self.git.environment.items()
            if name.startswith("GIT_") and not name.startswith("GIT_CONFIG_")
        }
