"""The user's origin: where its branch `pipeline` stands, and pushing commits there."""

import hashlib
from dataclasses import dataclass

from mlops_assets.versioning.git.commands import Git, GitFailure, PushOutcome
from mlops_assets.versioning.git.user_repository import BRANCH, UserRepository

AT_ORIGIN = "refs/user/at-origin"
"""Origin's branch as this clone last saw it."""

_ANSWER_S, _ANSWER_TO_OLD_NEWS_S = 20, 5
"""How long origin may be silent before a push; less if the run has nothing new and only offers an older commit."""
_LOOK_S = 5


@dataclass(frozen=True)
class Origin:
    """Origin of the user's repository, as the private clone `git` reaches it."""

    git: Git
    user: UserRepository

    def look(self) -> str | None:
        """Learn where origin's branch stands; the reason if that is not possible, else None."""
        url = self.user.origin(push=False)
        if url is None:
            self.forget()
            return None
        git = self.user.on_the_way_to_origin(self.git)
        try:
            listed = git.run("ls-remote", "--", url, f"refs/heads/{BRANCH}", timeout_s=_LOOK_S)
            found = listed.split()[0] if listed else None
            if url == self.user.origin(push=True):
                self._check_taken(url, found)
            if found is None:
                self.forget()
            elif found != self.git.commit(AT_ORIGIN):
                self._fetch(git, url)
        except GitFailure as error:
            return f"origin was not asked for newer versions, this run goes on from those known here: {error}"
        return None

    def forget(self) -> None:
        """Go on without what `look` found."""
        self.git.run("update-ref", "-d", AT_ORIGIN)

    def send(self, commit: str, *, is_new: bool) -> PushOutcome:
        """Push the commit to origin's branch, if there is an origin; if that moved on, fetch what it has."""
        url = self.user.origin(push=True)
        if url is None:
            return PushOutcome("done")
        taken = _taken_by(url)
        if self.git.commit(taken) == commit:
            return PushOutcome("done")
        git, timeout_s = self.user.on_the_way_to_origin(self.git), _ANSWER_S if is_new else _ANSWER_TO_OLD_NEWS_S
        if not git.answers(url, timeout_s):
            return PushOutcome("refused", f"not pushed: origin gave no answer in {timeout_s:g} s")
        outcome = git.push(url, f"{commit}:refs/heads/{BRANCH}")
        if outcome.status == "refused":
            return PushOutcome("refused", f"not pushed: {outcome.reason}")
        if outcome.status == "behind":
            self._fetch(git, self.user.origin(push=False) or url)
        else:
            git.run("update-ref", taken, commit)
        return outcome

    def _fetch(self, git: Git, url: str) -> None:
        git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow",
            url, f"+refs/heads/{BRANCH}:{AT_ORIGIN}",
        )  # fmt: skip

    def _check_taken(self, url: str, found: str | None) -> None:
        """Forget that origin took our newest commit if its branch was deleted, or moved to what it had before."""
        taken = self.git.commit(_taken_by(url))
        if taken and taken != found and (found is None or self._is_older(found, taken)):
            self.git.run("update-ref", "-d", _taken_by(url))

    def _is_older(self, commit: str, descendant: str) -> bool:
        return self.git.commit(commit) is not None and self.git.is_ancestor(commit, descendant)


def _taken_by(url: str) -> str:
    """The ref of the commit that this origin last took."""
    return f"refs/upstream/{hashlib.sha256(url.encode()).hexdigest()[:12]}"
