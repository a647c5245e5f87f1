"""The versions on branch `pipeline`, read from git: what each of them holds, and the version that a name means."""

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from mlops_assets.artifact import METRICS_FILES
from mlops_assets.failures import PermanentFailure
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.dvc.objects import pointed_object
from mlops_assets.versioning.git.commands import Git
from mlops_assets.versioning.git.pipeline_commit import CONFIG, DECISION, JOINS, METRICS, POINTERS, parse_trailers
from mlops_assets.versioning.git.user_repository import BRANCH

ANEW = "Starts-Anew"
"""The trailer that says why a data version does not go on from the version before."""
_RECORD, _FIELD = "\x1e", "\x1f"
_Record = tuple[str, datetime, str, dict[str, str]]
"""Commit, time, subject and trailers."""


class UnknownVersion(PermanentFailure):
    """No version has this name, or several have it."""


@dataclass(frozen=True)
class Score:
    """Macro-F1 on the test side, and the number of its reviews."""

    macro_f1: float
    n: int

    def __str__(self) -> str:
        return f"macro-F1 {self.macro_f1:.3f}, n = {self.n}"


@dataclass(frozen=True)
class Version:
    """A commit of the branch. `models`, `scores` and `trained_on` have the kinds of model as keys.

    models_dataset_version: the data for which models were last trained; `trained_on` names the older data of a kind
        that was not trained then
    champion: the version of the model that was chosen to serve; an earlier commit may have brought it
    references: the reviews of reference apps, by app
    objects: the folder versions (`<md5>.dir`) by path
    config: the version's `.dvc/config`
    elsewhere: where its data is, if not here
    anew: why it does not go on from the version before
    """

    commit: str
    at: datetime
    subject: str
    run_id: str
    dataset_version: str | None
    models: Mapping[str, str]
    models_dataset_version: str | None
    champion: str | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    references: Mapping[str, int] = field(default_factory=dict)
    months: Sequence[str] = ()
    labels: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    trained_on: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, str] = field(default_factory=dict)
    live: bool = False
    config: str | None = None
    elsewhere: str = ""
    anew: str | None = None

    def row(self) -> dict[str, str]:
        """The version as a line of a table."""
        total = sum(self.labels.values())
        return {
            "commit": self.commit[:12],
            "date": self.at.strftime("%Y-%m-%d %H:%M"),
            "data version": self.dataset_version or "",
            "rows": _listed(self.rows) + (f"; references: {_listed(self.references)}" if self.references else ""),
            "months": f"{self.months[0]} to {self.months[-1]}" if self.months else "",
            "labels": ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in self.labels.items() if total),
            "models": ", ".join(
                f"{name} {version}" + (f" ({self.scores[name]})" if name in self.scores else "")
                for name, version in self.models.items()
            ),
            "trained on": self._trained_on(),
            "chosen": self.champion or "",
            "not here": self.elsewhere,
            "live": "live" if self.live else "",
        }

    def data_of(self, kind: str) -> str | None:
        """The data version that the model of this kind was trained on."""
        return self.trained_on.get(kind, self.models_dataset_version)

    def _trained_on(self) -> str:
        data = {kind: self.data_of(kind) or "" for kind in self.models}
        if len(set(data.values())) > 1:
            return ", ".join(f"{kind} {version}" for kind, version in data.items())
        return next(iter(data.values()), "")


def _listed(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{app} {count}" for app, count in rows.items())


def list_versions(
    git: Git,
    live_model: str | None = None,
    *,
    ref: str | None = None,
    also: str | None = None,
    newest: int | None = None,
) -> list[Version]:
    """The versions (all, or the `newest` so many), newest first; the version that brought the live model is `live`.

    They come from the user's branch, or from `ref` and from a second ref `also` that `ref` may not contain yet.
    """
    ref = ref or branch_ref(git)
    if ref is None:
        return []
    records = _records(git, [ref] if also is None else [ref, also], newest)
    files = _files(git, [commit for commit, *_ in records])
    versions = [_version(record, files) for record in records]
    live = max((n for n, version in enumerate(versions) if live_model in version.models.values()), default=None)
    return [replace(version, live=number == live) for number, version in enumerate(versions)]


def list_champions(git: Git, ref: str | None) -> list[tuple[str, datetime, dict[str, Any]]]:
    """The models that became champion on this ref, newest first: version, since when, and the decision of then.

    A model that became champion again, as after a rollback, is there again. The decision is empty where none is stored.
    """
    if ref is None:
        return []
    changes: list[tuple[str, datetime, str]] = []
    for commit, at, _, trailers in reversed(_records(git, [ref], None)):
        if (model := trailers.get("Champion")) and (not changes or changes[-1][0] != model):
            changes.append((model, at, commit))
    contents = git.blobs([f"{commit}:{DECISION}" for *_, commit in changes])
    return [
        (model, at, json.loads(content) if content else {})
        for (model, at, _), content in zip(reversed(changes), reversed(contents), strict=True)
    ]


def is_generated(trailers: Mapping[str, str]) -> bool:
    """Whether the trailers are of a version of the generated sample; old versions name no source."""
    summary: dict[str, Any] = json.loads(trailers.get("Data-Summary", "{}"))
    return summary.get("source", "sample" if set(summary.get("rows", {})) == {SAMPLE_APP} else "") == "sample"


def _records(git: Git, refs: Sequence[str], newest: int | None) -> list[_Record]:
    """The pipeline's commits of these refs and of the lines of commits that they joined, newest first."""
    lines: list[list[_Record]] = []
    seen, starts = set[str](), [*reversed(refs)]
    limit = [] if newest is None else [f"--max-count={newest}"]
    while starts:
        line: list[_Record] = []
        text = git.run(
            "log", "--first-parent", *limit, f"--format={_RECORD}%H{_FIELD}%ct{_FIELD}%s{_FIELD}%B", starts.pop()
        )
        for record in text.split(_RECORD)[1:]:
            commit, seconds, subject, message = record.split(_FIELD, 3)
            trailers = parse_trailers(message)
            if "Pipeline-Run" not in trailers or commit in seen:
                break  # the user's own history below the first pipeline commit, or the start of a side line
            seen.add(commit)
            line.append((commit, datetime.fromtimestamp(int(seconds), UTC), subject, trailers))
            if JOINS in trailers:
                starts.append(trailers[JOINS])
        lines.append(line)
    first, *rest = lines
    merged = [*first[:1], *heapq.merge(first[1:], *rest, key=lambda record: record[1], reverse=True)]
    return merged if newest is None else merged[:newest]


def branch_ref(git: Git) -> str | None:
    """The ref of the branch in the user's repository: its own, else origin's."""
    for name in (f"refs/heads/{BRANCH}", f"refs/remotes/origin/{BRANCH}"):
        if git.commit(name):
            return name
    return None


def find_version(versions: Iterable[Version], name: str) -> Version:
    """The version that a commit (at least 7 digits), a data version or a model version names.

    A model version means the commit that brought it; a data version the newest commit with models trained on it, else
    the newest commit with this data.
    """
    versions = list(versions)
    with_model = [version for version in versions if name in version.models.values()]
    if with_model:
        return with_model[-1]
    with_data = [version for version in versions if name == version.dataset_version]
    if with_data:
        return next((version for version in with_data if version.models_dataset_version == name), with_data[0])
    commits = [version for version in versions if len(name) >= 7 and version.commit.startswith(name)]
    if len(commits) == 1:
        return commits[0]
    known = ", ".join(version.commit[:12] for version in versions[:3]) or "none"
    raise UnknownVersion(
        f"VERSION={name} names {len(commits)} versions: give a commit, data or model version of make versions "
        f"(newest commits: {known})"
    )


def _version(record: _Record, files: Mapping[tuple[str, str], bytes]) -> Version:
    commit, at, subject, trailers = record
    summary: dict[str, Any] = json.loads(trailers.get("Data-Summary", "{}"))
    months = summary.get("months", [])
    metrics_of = {
        kind: json.loads(content)
        for kind, name in METRICS_FILES.items()
        if (content := files.get((commit, f"models/{name}"))) is not None
    }
    config = files.get((commit, CONFIG))
    return Version(
        commit=commit,
        at=at,
        subject=subject,
        run_id=trailers["Pipeline-Run"],
        dataset_version=trailers.get("Data-Version"),
        models=dict(part.split("=", 1) for part in trailers.get("Model-Versions", "").split()),
        models_dataset_version=trailers.get("Models-Data-Version"),
        champion=trailers.get("Champion"),
        rows=summary.get("rows", {}),
        references=summary.get("references", {}),
        months=months if isinstance(months, list) else sorted(months),
        labels=summary.get("labels", {}),
        scores={kind: score for kind, metrics in metrics_of.items() if (score := _score(metrics)) is not None},
        trained_on={
            kind: metrics["dataset_version"] for kind, metrics in metrics_of.items() if "dataset_version" in metrics
        },
        objects={
            path.removesuffix(".dvc"): pointed
            for path in POINTERS
            if (pointed := _pointed(files.get((commit, path)))) is not None
        },
        config=None if config is None else config.decode("utf-8", "replace"),
        anew=trailers.get(ANEW),
    )


def _pointed(pointer: bytes | None) -> str | None:
    return None if pointer is None else pointed_object(pointer.decode("utf-8", "replace"))


def _score(metrics: Mapping[str, Any]) -> Score | None:
    test = metrics.get("test", {})
    score = test.get("macro_f1")
    return Score(float(score), int(test["n"])) if isinstance(score, (int, float)) else None


def _files(git: Git, commits: Sequence[str]) -> dict[tuple[str, str], bytes]:
    """Pointers and metrics of many commits in one call of git."""
    wanted = [(commit, path) for commit in commits for path in (*POINTERS, *METRICS, CONFIG)]
    contents = git.blobs([f"{commit}:{path}" for commit, path in wanted])
    return {key: content for key, content in zip(wanted, contents, strict=True) if content is not None}
