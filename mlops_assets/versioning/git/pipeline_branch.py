"""Branch `pipeline`: commits composed of the user's HEAD and the pipeline's files, brought to the user and to origin.

A commit is never merged: its tree is HEAD's tree with the pipeline's files on top, its parents are the previous
pipeline commit (first, so that `HEAD~1` means it) and HEAD. Rewritten history can neither conflict nor linger. Where
origin's branch went another way, the commit goes on top of origin's and has the clone's own line as a further parent.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.failures import OutsideFailure, PermanentFailure, TransientFailure
from mlops_assets.versioning.git.commands import Git, GitFailure
from mlops_assets.versioning.git.sparse_tree import write_patterns
from mlops_assets.versioning.git.user_repository import BRANCH, Code, UserRepository
from mlops_assets.workspace import KEPT_HERE

POINTERS = ("data/raw.dvc", "data/validated.dvc", "models/bert.dvc", "models/classic.dvc")
METRICS = ("models/bert_metrics.json", "models/metrics.json")
DECISION, CARD = "models/decision.json", "models/model_card.md"
"""Which model serves and why, and its card. Not named as the working state's own: a checkout would take those away."""
CONFIG = ".dvc/config"
FILES = (*POINTERS, *METRICS, DECISION, CARD, CONFIG, ".dvc/.gitignore")

AUTHOR = "Review pipeline"
EMAIL = "pipeline@localhost"

_USER_HEAD, _USER_BRANCH, _USER_ORIGIN = "refs/user/head", "refs/user/pipeline", "refs/user/origin-pipeline"
_AT_ORIGIN, _NOT_TAKEN_OVER = "refs/user/at-origin", "refs/user/not-taken-over"
"""Origin's branch as this clone last saw it; the commit of another clone that overtook one of ours."""
_MADE_HERE = "refs/user/made-here"
"""What this clone last brought to the user's branch; another tip was pulled there, or pushed by another clone."""
JOINS = "Joins"
"""The trailer that names the line of the clone's own commits that a commit joins to origin's."""
SENDING = "sending-to-user"
"""In the clone's git folder while the branch is pushed to the user: who finds it knows that a push was killed."""

_ATTEMPTS = 5
_ANSWER_S, _ANSWER_TO_OLD_NEWS_S = 20, 5
"""So long origin may be silent before a push; less where a run has nothing new and only offers what was not taken."""
_LOOK_S = 5
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]+): (.*)$")
# With the user's trust in this repository, which `UserRepository.at` has asked about.
_RECEIVER = "git -c 'safe.directory=*' -c receive.autogc=false -c gc.auto=0 -c maintenance.auto=false receive-pack"
_QUIET_RECEIVER = f"--receive-pack={_RECEIVER}"


@dataclass(frozen=True)
class Change:
    """What a commit brings: files by path, its subject and its trailers; `dropped` files are not carried over."""

    subject: str
    files: Mapping[str, str]
    trailers: Mapping[str, str]
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Published:
    """The branch's tip afterwards; `origin` is `none`, `pushed`, `kept here: …`, or why origin did not take it."""

    commit: str
    changed: bool
    origin: str


class PipelineBranch:
    """The branch in the private clone `git`; `at_phase` is told where a kill would hurt most."""

    def __init__(
        self, git: Git, user: UserRepository, now: Callable[[], datetime], at_phase: Callable[[str], None]
    ) -> None:
        self._git, self._user, self._now, self._at_phase = git, user, now, at_phase

    def fetch(self) -> None:
        """Bring the refs that count from the user's repository."""
        theirs = self._user.refs()
        mirrored = {
            "HEAD": _USER_HEAD,
            f"refs/heads/{BRANCH}": _USER_BRANCH,
            f"refs/remotes/origin/{BRANCH}": _USER_ORIGIN,
        }
        for name, mirror in mirrored.items():
            if name not in theirs:
                self._git.run("update-ref", "-d", mirror)
        if theirs:
            self._git.run(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow",
                *(["--filter=blob:none"] if self._user.partial else []),
                "origin", *(f"+{name}:{mirrored[name]}" for name in theirs),
            )  # fmt: skip

    def tip(self) -> str | None:
        """The commit that the next one goes on from; None before the first.

        It is the user's own branch, or origin's where that is ahead. Of two different ways it is origin's if this clone
        looked there, else the own one.
        """
        listed = self._git.run(
            "for-each-ref", "--format=%(refname) %(objectname)", _USER_BRANCH, _USER_ORIGIN, _AT_ORIGIN
        )
        known = dict(line.split(" ", 1) for line in listed.splitlines())
        own, seen, theirs = (known.get(name) for name in (_USER_BRANCH, _AT_ORIGIN, _USER_ORIGIN))
        if seen and not (theirs and self._is_ancestor(seen, theirs)):
            theirs = seen
        if own is None or theirs is None:
            return own or theirs
        if self._is_ancestor(own, theirs):
            return theirs
        return theirs if seen and not self._is_ancestor(theirs, own) else own

    def own(self) -> str | None:
        """The tip of the user's own branch: what this clone committed, or took over."""
        return self._commit(_USER_BRANCH)

    def look_at_origin(self) -> str | None:
        """Learn where origin's branch stands; why that could not be learned, else None."""
        url = self._user.origin(push=False)
        if url is None:
            self.forget_origin()
            return None
        git = self._user.on_the_way_to_origin(self._git)
        try:
            listed = git.run("ls-remote", "--", url, f"refs/heads/{BRANCH}", timeout_s=_LOOK_S)
            if url == self._user.origin(push=True):
                self._check_taken(url, listed.split()[0] if listed else None)
            if not listed:
                self.forget_origin()
            elif listed.split()[0] != self._commit(_AT_ORIGIN):
                self._fetch_from_origin(git, url, _AT_ORIGIN)
        except GitFailure as error:
            return f"origin was not asked for newer versions, this run goes on from those known here: {error}"
        return None

    def _check_taken(self, url: str, found: str | None) -> None:
        """Forget that origin took our newest commit if its branch was deleted, or moved to what it had before."""
        taken = self._commit(_taken_by(url))
        if taken and taken != found and (found is None or self._known(found, taken)):
            self._git.run("update-ref", "-d", _taken_by(url))

    def _known(self, commit: str, descendant: str) -> bool:
        """Whether the commit is here and an ancestor of the other one."""
        return self._commit(commit) is not None and self._is_ancestor(commit, descendant)

    def forget_origin(self) -> None:
        """Go on without what `look_at_origin` found."""
        self._git.run("update-ref", "-d", _AT_ORIGIN)

    def from_elsewhere(self) -> bool:
        """Whether the user's own branch stands on a commit of another clone: fetched, pulled, or pushed from there."""
        made, own = self._commit(_MADE_HERE), self.own()
        return bool(made and own and made != own and not self._is_ancestor(own, made))

    def overtook(self) -> str | None:
        """The commit of another clone that overtook one of ours, until `taken_over`."""
        return self._commit(_NOT_TAKEN_OVER)

    def taken_over(self) -> None:
        """The reviews of the commit that overtook ours are in this clone."""
        self._git.run("update-ref", "-d", _NOT_TAKEN_OVER)

    def refuse_tracked_outputs(self) -> None:
        """Raise where HEAD tracks a folder that is the pipeline's output: DVC and git cannot both hold it."""
        if self._commit(_USER_HEAD) is None:
            return
        outputs = [pointer.removesuffix(".dvc") for pointer in POINTERS]
        tracked = self._git.run("ls-tree", "--name-only", _USER_HEAD, "--", *outputs).splitlines()
        if tracked:
            raise PermanentFailure(
                f"git tracks {tracked[0]}, which is the pipeline's own output: "
                f"git rm -r --cached {tracked[0]}, commit, and run again"
            )

    def check_out(self, tip: str | None) -> None:
        """Make the clone's work tree the tip's (before the first commit: HEAD's), whatever it was."""
        if tip is not None:
            write_patterns(self._git, tip, FILES)
            self._git.run("checkout", "--quiet", "--force", "-B", BRANCH, tip)
            return
        if self._commit(_USER_HEAD):
            write_patterns(self._git, _USER_HEAD, FILES)
            self._git.run("checkout", "--quiet", "--force", "--detach", _USER_HEAD)
        self._git.run("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
        self._git.run("update-ref", "-d", f"refs/heads/{BRANCH}")

    def look_at(self, commit: str) -> None:
        """Put an old version's files into the clone's work tree; `check_out` comes back."""
        write_patterns(self._git, commit, FILES)
        self._git.run("checkout", "--quiet", "--force", "--detach", commit)

    def file(self, commit: str | None, path: str) -> str | None:
        """The content of a tracked file in a commit, None where it is absent."""
        content = self._git.blobs([f"{commit}:{path}"])[0] if commit else None
        return None if content is None else content.decode("utf-8", "replace")

    def trailers(self, commit: str | None) -> dict[str, str]:
        """The trailers of a pipeline commit."""
        return parse_trailers(self._git.run("log", "-1", "--format=%B", commit)) if commit else {}

    def head_file(self, path: str) -> str:
        """The content of a tracked file in the user's HEAD, empty where there is none."""
        return self.file(self._commit(_USER_HEAD), path) or ""

    def publish(self, prove: Callable[[str | None], Change], code: Code, *, kept_here: str = "") -> Published:
        """Commit a change on the branch's tip and bring it to the user's repository and, unless `kept_here`, to origin.

        `prove` gives the change for a tip, once the remote is proven to hold what the commit will name. Where the
        branch moved on meanwhile, the commit is composed again on top of what is there; nothing is forced.
        """
        refused = kept_here and f"{KEPT_HERE}{kept_here}"
        for _ in range(_ATTEMPTS):
            tip = self.tip()
            change = prove(tip)
            self._at_phase("proven")
            commit = self._compose(tip, change, code)
            self._at_phase("composed")
            target = commit or tip
            if target is None:
                raise PermanentFailure("there is nothing to version: stage data first")
            if not refused:
                moved, refused = self._to_origin(target, _ANSWER_S if commit else _ANSWER_TO_OLD_NEWS_S)
                if moved:
                    continue
            self._at_phase("sent to origin")
            if self._to_user(target):
                self._at_phase("sent to user")
                self._git.run("update-ref", _MADE_HERE, target)
                self.check_out(target)
                origin = (refused or "pushed") if self._user.origin(push=True) else "none"
                return Published(target, commit is not None, origin)
        raise TransientFailure(f"branch {BRANCH} moved {_ATTEMPTS} times while it was written: run again")

    def _compose(self, tip: str | None, change: Change, code: Code) -> str | None:
        """The new commit, None where the tip has these very files."""
        blobs = self._pipeline_files(tip)
        before = dict(blobs)
        for path in change.dropped:
            blobs.pop(path, None)
        for path, content in change.files.items():
            blobs[path] = self._git.run("hash-object", "-w", "--no-filters", "--stdin", stdin=content.encode())
        chosen, own = change.trailers.get("Champion"), self.own()
        joined = own if own and tip and not self._is_ancestor(own, tip) else None
        if joined is None and blobs == before and (chosen is None or chosen == self.trailers(tip).get("Champion")):
            return None
        index = {"GIT_INDEX_FILE": str(self._git.git_dir / "compose.index")}
        self._git.run("read-tree", f"{code.commit}^{{tree}}" if code.commit else "--empty", extra=index)
        entries = "".join(f"100644 {blob}\t{path}\n" for path, blob in sorted(blobs.items()))
        self._git.run("update-index", "--add", "--index-info", stdin=entries.encode(), extra=index)
        tree = self._git.run("write-tree", extra=index)
        parents = [part for parent in (tip, joined, code.commit) if parent for part in ("-p", parent)]
        trailers = {**self._carried(tip, change.dropped), **change.trailers, "Code": code.commit or "none"}
        if joined:
            trailers[JOINS] = joined
        if code.dirty:
            trailers["Code-Dirty"] = code.dirty
        message = f"{change.subject}\n\n" + "".join(f"{name}: {value}\n" for name, value in trailers.items())
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S+00:00")
        identity = {
            f"GIT_{role}_{name}": value
            for role in ("AUTHOR", "COMMITTER")
            for name, value in (("NAME", AUTHOR), ("EMAIL", EMAIL), ("DATE", stamp))
        }
        return self._git.run("commit-tree", tree, *parents, stdin=message.encode(), extra=identity)

    def _pipeline_files(self, tip: str | None) -> dict[str, str]:
        if tip is None:
            return {}
        lines = self._git.run("ls-tree", "-r", tip, "--", *FILES).splitlines()
        return {path: about.split()[2] for about, path in (line.split("\t", 1) for line in lines)}

    def _carried(self, tip: str | None, dropped: frozenset[str]) -> dict[str, str]:
        kept = ["Data-Version", "Data-Summary"]
        if not any(path.startswith("models/") for path in dropped):
            kept += ["Models-Data-Version", "Model-Versions", "Champion"]
        return {name: value for name, value in self.trailers(tip).items() if name in kept}

    def _to_origin(self, target: str, patience_s: float) -> tuple[bool, str]:
        """Push to the user's origin: (whether it has commits that the target lacks, why it refused)."""
        url = self._user.origin(push=True)
        if url is None:
            return False, ""
        taken = _taken_by(url)
        if self._commit(taken) == target:
            return False, ""
        git = self._user.on_the_way_to_origin(self._git)
        if not git.answers(url, patience_s):
            return False, f"not pushed: origin gave no answer in {patience_s:g} s"
        outcome = git.push(url, f"{target}:refs/heads/{BRANCH}")
        if outcome.status == "done":
            git.run("update-ref", taken, target)
            return False, ""
        if outcome.status == "refused":
            return False, f"not pushed: {outcome.reason}"
        self._fetch_from_origin(git, self._user.origin(push=False) or url, _AT_ORIGIN)
        git.run("update-ref", _NOT_TAKEN_OVER, _AT_ORIGIN)
        return True, ""

    def _fetch_from_origin(self, git: Git, url: str, into: str) -> None:
        git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow",
            url, f"+refs/heads/{BRANCH}:{into}",
        )  # fmt: skip

    def _to_user(self, target: str) -> bool:
        """Push to the user's repository; False where its branch moved and the commit must be composed again."""
        if self._commit(_USER_BRANCH) == target:
            return True
        self._user.refuse_checked_out_branch()
        sending = self._git.git_dir / SENDING
        sending.touch()
        try:
            outcome = self._git.push("origin", f"{target}:refs/heads/{BRANCH}", options=[_QUIET_RECEIVER])
        finally:
            sending.unlink(missing_ok=True)
        if outcome.status == "refused":
            raise OutsideFailure(
                f"branch {BRANCH} in {self._user.root} could not be written ({outcome.reason}): "
                "make the repository writable and run again"
            )
        if outcome.status == "done":
            self._git.run("update-ref", _USER_BRANCH, target)
            return True
        self.fetch()
        if self.own():
            self._git.run("update-ref", _NOT_TAKEN_OVER, _USER_BRANCH)
        return False

    def _commit(self, name: str) -> str | None:
        return self._git.answer("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")

    def _is_ancestor(self, older: str, newer: str) -> bool:
        return self._git.holds("merge-base", "--is-ancestor", older, newer)


def _taken_by(url: str) -> str:
    """The ref of the commit that this origin last took."""
    return f"refs/upstream/{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def parse_trailers(message: str) -> dict[str, str]:
    """The trailers of a commit message: the `Name: value` lines of its last paragraph."""
    last = message.strip().rsplit("\n\n", 1)[-1]
    found = (_TRAILER.match(line) for line in last.splitlines())
    return {match.group(1): match.group(2) for match in found if match}
