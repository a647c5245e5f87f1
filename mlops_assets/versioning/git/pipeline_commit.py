"""A commit on branch `pipeline`: the pipeline's files on top of the user's HEAD, and its trailers.

A commit is never merged: its tree is HEAD's tree with the pipeline's files on top, its parents are the previous
pipeline commit (first, so that `HEAD~1` means it) and HEAD. Rewritten history can neither conflict nor linger. If
origin's branch diverged, the commit goes on top of origin's and has the clone's own line as a further parent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.artifact import METRICS_FILES
from mlops_assets.versioning.git.commands import Git
from mlops_assets.versioning.git.user_repository import Code

LABELS = "data/labels"
REFERENCE_RAW, REFERENCE_VALIDATED = "data/reference/raw", "data/reference/validated"
"""The reviews of reference apps."""
OPTIONAL = (LABELS, REFERENCE_RAW, REFERENCE_VALIDATED)
"""Data that a version has only if there is any; versions of earlier releases lack it."""
MODELS = {f"models/{kind}.dvc": f"models/{metrics}" for kind, metrics in METRICS_FILES.items()}
"""The pointer of each kind of model, with the metrics file that belongs to it."""
POINTERS = ("data/raw.dvc", "data/validated.dvc", *(f"{output}.dvc" for output in OPTIONAL), *MODELS)
METRICS = tuple(MODELS.values())
DECISION, CARD = "models/decision.json", "models/model_card.md"
"""Which model serves and why, and its card. The working files have other names, so a checkout does not remove them."""
CONFIG = ".dvc/config"
DVC_IGNORE = ".dvc/.gitignore"
FILES = (*POINTERS, *METRICS, DECISION, CARD, CONFIG, DVC_IGNORE)

JOINS = "Joins"
"""The trailer that names the clone's own line of commits which a commit joins to origin's."""

AUTHOR = "Review pipeline"
EMAIL = "pipeline@localhost"

GATE_PERCENTS = "Gate-Percent"
"""The trailer with the smallest percent that the gate side ever had, by kind of reviews: `generated=18 real=12`."""

_DATA_TRAILERS = ("Data-Version", "Data-Summary", GATE_PERCENTS)
_MODEL_TRAILERS = ("Models-Data-Version", "Model-Versions", "Champion")
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]+): (.*)$")


@dataclass(frozen=True)
class Change:
    """What a commit brings: files by path, its subject and its trailers; `dropped` files are not carried over."""

    subject: str
    files: Mapping[str, str]
    trailers: Mapping[str, str]
    dropped: frozenset[str] = frozenset()


def compose(git: Git, tip: str | None, change: Change, code: Code, *, joined: str | None, at: datetime) -> str | None:
    """A new commit on `tip`, not yet on any branch; None if the tip has these very files.

    `joined` is the clone's own line of commits if `tip` lacks it.
    """
    blobs = _pipeline_files(git, tip)
    before = dict(blobs)
    for path in change.dropped:
        blobs.pop(path, None)
    for path, content in change.files.items():
        blobs[path] = git.run("hash-object", "-w", "--no-filters", "--stdin", stdin=content.encode())
    carried, champion = trailers_of(git, tip), change.trailers.get("Champion")
    same = blobs == before and champion in (None, carried.get("Champion")) and not _gate_falls(carried, change.trailers)
    if joined is None and same:
        return None
    parents = [argument for parent in (tip, joined, code.commit) if parent for argument in ("-p", parent)]
    message = f"{change.subject}\n\n{_trailers(carried, change, code, joined)}"
    return git.run("commit-tree", _tree(git, code.commit, blobs), *parents, stdin=message.encode(), extra=_identity(at))


def _pipeline_files(git: Git, tip: str | None) -> dict[str, str]:
    """The blobs of the pipeline's files in a commit, by path."""
    lines = git.run("ls-tree", "-r", tip, "--", *FILES).splitlines() if tip else []
    return {path: entry.split()[2] for entry, path in (line.split("\t", 1) for line in lines)}


def _tree(git: Git, head: str | None, blobs: Mapping[str, str]) -> str:
    index = {"GIT_INDEX_FILE": str(git.git_dir / "compose.index")}
    git.run("read-tree", f"{head}^{{tree}}" if head else "--empty", extra=index)
    entries = "".join(f"100644 {blob}\t{path}\n" for path, blob in sorted(blobs.items()))
    git.run("update-index", "--add", "--index-info", stdin=entries.encode(), extra=index)
    return git.run("write-tree", extra=index)


def _trailers(carried: Mapping[str, str], change: Change, code: Code, joined: str | None) -> str:
    models_dropped = any(path.startswith("models/") for path in change.dropped)
    kept = _DATA_TRAILERS if models_dropped else (*_DATA_TRAILERS, *_MODEL_TRAILERS)
    trailers = {name: value for name, value in carried.items() if name in kept}
    trailers |= {**change.trailers, "Code": code.commit or "none"}
    if gates := _smallest_gates(carried, change.trailers):
        trailers[GATE_PERCENTS] = " ".join(f"{kind}={percent}" for kind, percent in sorted(gates.items()))
    if joined:
        trailers[JOINS] = joined
    if code.dirty:
        trailers["Code-Dirty"] = code.dirty
    return "".join(f"{name}: {value}\n" for name, value in trailers.items())


def gate_percents(trailers: Mapping[str, str]) -> dict[str, int]:
    """The smallest percent of the gate side that was ever used, by kind of reviews: generated or real."""
    parts = (part.split("=", 1) for part in trailers.get(GATE_PERCENTS, "").split())
    return {kind: int(percent) for kind, percent in parts}


def _smallest_gates(carried: Mapping[str, str], brought: Mapping[str, str]) -> dict[str, int]:
    known, new = gate_percents(carried), gate_percents(brought)
    return {kind: min(known.get(kind, percent), percent) for kind, percent in (known | new).items()}


def _gate_falls(carried: Mapping[str, str], brought: Mapping[str, str]) -> bool:
    """Whether the change brings a smaller gate side than one on record: a commit for itself, before a model trains."""
    return bool(gate_percents(carried)) and _smallest_gates(carried, brought) != gate_percents(carried)


def _identity(at: datetime) -> dict[str, str]:
    values = {"NAME": AUTHOR, "EMAIL": EMAIL, "DATE": at.strftime("%Y-%m-%dT%H:%M:%S+00:00")}
    return {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in values.items()}


def trailers_of(git: Git, commit: str | None) -> dict[str, str]:
    """The trailers of a pipeline commit; none without a commit."""
    return parse_trailers(git.run("log", "-1", "--format=%B", commit)) if commit else {}


def parse_trailers(message: str) -> dict[str, str]:
    """The trailers of a commit message: the `Name: value` lines of its last paragraph."""
    last = message.strip().rsplit("\n\n", 1)[-1]
    found = (_TRAILER.match(line) for line in last.splitlines())
    return {match.group(1): match.group(2) for match in found if match}
