"""Branch `pipeline` in the private clone: where it stands, and how a new commit gets to the user and to origin."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.failures import OutsideFailure, PermanentFailure, TransientFailure
from mlops_assets.versioning.git.commands import Git
from mlops_assets.versioning.git.origin import AT_ORIGIN, Origin
from mlops_assets.versioning.git.pipeline_commit import POINTERS, Change, compose, trailers_of
from mlops_assets.versioning.git.private_clone import SENDING, USER_HEAD, PrivateClone
from mlops_assets.versioning.git.user_repository import BRANCH, Code, UserRepository
from mlops_assets.workspace import KEPT_HERE

_USER_BRANCH, _USER_ORIGIN = "refs/user/pipeline", "refs/user/origin-pipeline"
_NOT_TAKEN_OVER = "refs/user/not-taken-over"
"""The commit of another clone that overtook one of ours."""
_MADE_HERE = "refs/user/made-here"
"""What this clone last pushed to the user's branch; another tip was pulled there, or pushed by another clone."""

_ATTEMPTS = 5
# `UserRepository.at` has asked whether the user trusts this repository.
_RECEIVER = "git -c 'safe.directory=*' -c receive.autogc=false -c gc.auto=0 -c maintenance.auto=false receive-pack"
_QUIET_RECEIVER = f"--receive-pack={_RECEIVER}"


@dataclass(frozen=True)
class Published:
    """The branch's tip afterwards; `origin` is `none`, `pushed`, `kept here: …`, or why origin did not take it."""

    commit: str
    changed: bool
    origin: str


class PipelineBranch:
    """The branch in a private clone; `at_phase` is called at the moments when a kill would hurt most."""

    def __init__(self, clone: PrivateClone, now: Callable[[], datetime], at_phase: Callable[[str], None]) -> None:
        self.clone, self._now, self._at_phase = clone, now, at_phase

    @property
    def git(self) -> Git:
        return self.clone.git

    @property
    def _user(self) -> UserRepository:
        return self.clone.user

    @property
    def _origin(self) -> Origin:
        return Origin(self.git, self._user)

    def fetch(self) -> None:
        """Fetch the user's HEAD and branch, and origin's branch as the user last fetched it."""
        theirs = self._user.refs()
        mirrored = {
            "HEAD": USER_HEAD,
            f"refs/heads/{BRANCH}": _USER_BRANCH,
            f"refs/remotes/origin/{BRANCH}": _USER_ORIGIN,
        }
        for name, mirror in mirrored.items():
            if name not in theirs:
                self.git.run("update-ref", "-d", mirror)
        if theirs:
            self.git.run(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow",
                *(["--filter=blob:none"] if self._user.partial else []),
                "origin", *(f"+{name}:{mirrored[name]}" for name in theirs),
            )  # fmt: skip

    def tip(self) -> str | None:
        """The commit that the next one goes on from; None before the first.

        It is the tip of the user's own branch, or of origin's if that is ahead. If the two diverged, it is origin's if
        this clone has looked there, else the user's.
        """
        listed = self.git.run(
            "for-each-ref", "--format=%(refname) %(objectname)", _USER_BRANCH, _USER_ORIGIN, AT_ORIGIN
        )
        known = dict(line.split(" ", 1) for line in listed.splitlines())
        own, seen, theirs = (known.get(name) for name in (_USER_BRANCH, AT_ORIGIN, _USER_ORIGIN))
        if seen and not (theirs and self.git.is_ancestor(seen, theirs)):
            theirs = seen
        if own is None or theirs is None:
            return own or theirs
        if self.git.is_ancestor(own, theirs):
            return theirs
        return theirs if seen and not self.git.is_ancestor(theirs, own) else own

    def own(self) -> str | None:
        """The tip of the user's own branch: what this clone committed, or took over."""
        return self.git.commit(_USER_BRANCH)

    def not_joined(self) -> str | None:
        """The tip of the user's own branch if the tip does not contain it, else None."""
        tip, own = self.tip(), self.own()
        return own if own and tip and not self.git.is_ancestor(own, tip) else None

    def look_at_origin(self) -> str | None:
        """Learn where origin's branch stands; the reason if that is not possible, else None."""
        return self._origin.look()

    def forget_origin(self) -> None:
        """Go on without what `look_at_origin` found."""
        self._origin.forget()

    def from_elsewhere(self) -> bool:
        """Whether the user's own branch stands on a commit of another clone: fetched, pulled, or pushed from there."""
        made, own = self.git.commit(_MADE_HERE), self.own()
        return bool(made and own and made != own and not self.git.is_ancestor(own, made))

    def overtook(self) -> str | None:
        """The commit of another clone that overtook one of ours, until `taken_over`."""
        return self.git.commit(_NOT_TAKEN_OVER)

    def taken_over(self) -> None:
        """Note that this clone has the reviews of the commit that overtook ours."""
        self.git.run("update-ref", "-d", _NOT_TAKEN_OVER)

    def refuse_tracked_outputs(self) -> None:
        """Raise if HEAD tracks a folder that is the pipeline's output: DVC and git cannot both hold it."""
        if self.git.commit(USER_HEAD) is None:
            return
        outputs = [pointer.removesuffix(".dvc") for pointer in POINTERS]
        tracked = self.git.run("ls-tree", "--name-only", USER_HEAD, "--", *outputs).splitlines()
        if tracked:
            raise PermanentFailure(
                f"git tracks {tracked[0]}, which is the pipeline's own output: "
                f"git rm -r --cached {tracked[0]}, commit, and run again"
            )

    def file(self, commit: str | None, path: str) -> str | None:
        """The content of a tracked file in a commit, or None."""
        return self.git.file(commit, path)

    def trailers(self, commit: str | None) -> dict[str, str]:
        """The trailers of a pipeline commit."""
        return trailers_of(self.git, commit)

    def head_file(self, path: str) -> str:
        """The content of a tracked file in the user's HEAD, empty if there is none."""
        return self.git.file(self.git.commit(USER_HEAD), path) or ""

    def publish(self, prove: Callable[[str | None], Change], code: Code, *, kept_here: str = "") -> Published:
        """Commit a change on the branch's tip and push it to the user's repository and, unless `kept_here`, to origin.

        `prove` returns the change for a tip, once the remote is proven to hold what the commit will name. If the branch
        moved on meanwhile, the commit is composed again on top of what is there; nothing is forced.
        """
        refused = kept_here and f"{KEPT_HERE}{kept_here}"
        for _ in range(_ATTEMPTS):
            tip = self.tip()
            change = prove(tip)
            self._at_phase("proven")
            commit = compose(self.git, tip, change, code, joined=self.not_joined(), at=self._now())
            self._at_phase("composed")
            target = commit or tip
            if target is None:
                raise PermanentFailure("there is nothing to version: stage data first")
            if not refused:
                outcome = self._origin.send(target, is_new=commit is not None)
                if outcome.status == "behind":
                    self.git.run("update-ref", _NOT_TAKEN_OVER, AT_ORIGIN)
                    continue
                refused = outcome.reason
            self._at_phase("sent to origin")
            if self._to_user(target):
                self._at_phase("sent to user")
                self.git.run("update-ref", _MADE_HERE, target)
                self.clone.check_out(target)
                origin = (refused or "pushed") if self._user.origin(push=True) else "none"
                return Published(target, commit is not None, origin)
        raise TransientFailure(f"branch {BRANCH} moved {_ATTEMPTS} times while it was written: run again")

    def _to_user(self, target: str) -> bool:
        """Push to the user's repository; False if its branch moved and the commit must be composed again."""
        if self.own() == target:
            return True
        self._user.refuse_checked_out_branch()
        sending = self.git.git_dir / SENDING
        sending.touch()
        try:
            outcome = self.git.push("origin", f"{target}:refs/heads/{BRANCH}", options=[_QUIET_RECEIVER])
        finally:
            sending.unlink(missing_ok=True)
        if outcome.status == "refused":
            raise OutsideFailure(
                f"branch {BRANCH} in {self._user.root} could not be written ({outcome.reason}): "
                "make the repository writable and run again"
            )
        if outcome.status == "done":
            self.git.run("update-ref", _USER_BRANCH, target)
            return True
        self.fetch()
        if self.own():
            self.git.run("update-ref", _NOT_TAKEN_OVER, _USER_BRANCH)
        return False
