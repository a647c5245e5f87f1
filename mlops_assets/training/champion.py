"""The champion: the model that serves, in `models/champion`, and the decision that chose it, in `champion.json`."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from mlops_assets import artifact
from mlops_assets.artifact import METRICS_FILES, Kind
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.trained_on import TrainedOn
from mlops_assets.training.due import Due
from mlops_assets.training.metrics import Metrics

RECORD = "champion.json"
_SCRATCH, _BEFORE = ".champion.partial", ".champion.old"
_KNOWN_AFTER_THE_COMMIT = ("models_trained", "commit", "origin")


@dataclass(frozen=True)
class Decision:
    """The model that serves from here on, and the judgement that chose it.

    Of a restored version whose decision is not on the branch, only what its model's folder says is known.
    """

    model_version: str
    model: Kind | None = None
    dataset_version: str = ""
    """The data that the serving model was trained on; `judged_on` is the data that it was judged on."""
    promoted: bool = False
    reason: str = ""
    run_id: str = ""
    judged_on: str | None = None
    candidate: str | None = None
    candidate_version: str | None = None
    """The contender that the verdict is about."""
    against: str | None = None
    """The version that served until then."""
    basis: str | None = None
    """Why it was promoted: `first`, `better` or `as good`; None if it was not, or if the record is older."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What the verdict was reached on: n distinct texts, candidate, champion, difference, newest_difference, slices,
    changes, by_frequency, anchor. `measure` says what differences are measured in; old records lack it: macro-F1."""
    forward: Mapping[str, Any] | None = None
    """Scores of the model that served until then on reviews that arrived after its data."""
    comparison: Mapping[str, Any] | None = None
    """How the promoted model's answers to the newest reviews differ from those of the model before, and how long both
    take. None if no model served before, or none was promoted."""
    candidates: Mapping[Kind, str] = field(default_factory=dict)
    """Model kind -> version, of all that were compared."""
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    """Apps and sources of the reviews that the serving model was trained on; empty if not known."""
    since: str | None = None
    """When the champion was promoted (ISO 8601); None if it came back with a restore."""
    models_trained: bool = False
    """Whether the commit holds models that the one before did not."""
    commit: str | None = None
    origin: str | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """The decision of a JSON record, of this version or an earlier one."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known and value is not None})

    def record(self) -> dict[str, Any]:
        """As `models/champion.json` holds it."""
        return asdict(self)

    def record_to_commit(self) -> dict[str, Any]:
        """As the version of the models holds it, which cannot name its own commit."""
        return {name: value for name, value in asdict(self).items() if name not in _KNOWN_AFTER_THE_COMMIT}

    @property
    def chosen_at(self) -> datetime | None:
        return datetime.fromisoformat(self.since) if self.since else None

    @property
    def reviews_trained_on(self) -> TrainedOn:
        """Whose reviews the serving model was trained on; empty if the decision does not say."""
        return TrainedOn.of(self.trained_on.get("apps", ()), self.trained_on.get("sources", ()))


def read_decision(models: Path) -> Decision | None:
    """The last decision; None before the first."""
    path = models / RECORD
    return Decision.of(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def last_decision(models: Path) -> Decision:
    """The last decision, for code that needs a champion."""
    decision = read_decision(models)
    if decision is None:
        raise PermanentFailure(f"{models / RECORD} is missing: materialize champion_model")
    return decision


def write_decision(models: Path, decision: Decision) -> None:
    """Replace the last decision."""
    record = json.dumps(decision.record(), indent=1, ensure_ascii=False, sort_keys=True)
    replace_file(models / RECORD, record + "\n")


def put_in_place(source: Path, models: Path) -> None:
    """Copy the model in `source` to `models/champion`. The one before is kept until `drop_previous`."""
    scratch, previous, target = (models / name for name in (_SCRATCH, _BEFORE, "champion"))
    for leftover in (scratch, previous):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, scratch)
    if target.exists():
        target.replace(previous)
    scratch.replace(target)


def drop_previous(models: Path) -> None:
    """Delete the champion before, once the decision that replaced it is on record."""
    shutil.rmtree(models / _BEFORE, ignore_errors=True)


def undo_unrecorded(models: Path) -> None:
    """Put the recorded champion back if a killed run replaced its folder and left the record as it was."""
    decision, previous = read_decision(models), models / _BEFORE
    if decision is None or champion_folder(models) is not None or not (previous / artifact.MANIFEST).is_file():
        return
    if artifact.model_version(previous) == decision.model_version:
        shutil.rmtree(models / "champion", ignore_errors=True)
        previous.replace(models / "champion")


def candidates(models: Path) -> dict[Kind, str]:
    """Model kind -> version, of the models that have scores; a failed training leaves a model without any.

    A blend of other members than those that are here is none.
    """
    found: dict[Kind, str] = {}
    for kind, name in METRICS_FILES.items():
        if (models / kind / artifact.MANIFEST).is_file():
            version, metrics = artifact.model_version(models / kind), Metrics.read(models / name)
            if metrics and metrics.model_version == version:
                found[kind] = version
    if "blend" in found:
        members = artifact.read(models / "blend", verify=False).runtime["members"]
        if members != {kind: found.get(kind) for kind in artifact.MEMBERS}:
            del found["blend"]
    return found


def champion_due(models: Path) -> Due:
    """Whether to decide again: the candidates changed since the last decision, or it was not committed."""
    decision = read_decision(models)
    if decision is None or champion_folder(models) is None:
        return Due(True, "there is no decision yet")
    if decision.candidates != candidates(models):
        return Due(True, "the candidates changed since the last decision")
    if not decision.commit:
        return Due(True, "the last decision's models are not committed")
    return Due(False, f"{decision.model} {decision.model_version} was chosen among these candidates")


def champion_folder(models: Path) -> Path | None:
    """The folder of the model that was chosen last; None before the first decision."""
    folder, decision = models / "champion", read_decision(models)
    if decision is None or not (folder / artifact.MANIFEST).is_file():
        return None
    return folder if artifact.model_version(folder) == decision.model_version else None
