"""Which of the two models serves: `models/champion.json`, the decision with its reason."""

import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_assets import artifact
from mlops_assets.artifact import Kind
from mlops_assets.failures import PermanentFailure
from mlops_assets.training.due import Due, metrics_version

RECORD = "champion.json"
_SCRATCH, _BEFORE = ".champion.partial", ".champion.old"
METRICS: Mapping[Kind, str] = {"bert": "bert_metrics.json", "classic": "metrics.json"}
"""The metrics file of each kind of model."""


def read_record(models: Path) -> Mapping[str, Any] | None:
    """The last decision: model, model_version, dataset_version, reason, candidates; none before the first."""
    path = models / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def known_record(models: Path) -> Mapping[str, Any]:
    """The last decision, where there must be one."""
    record = read_record(models)
    if record is None:
        raise PermanentFailure(f"{models / RECORD} is missing: materialize champion_model")
    return record


def chosen_at(models: Path) -> datetime | None:
    """When the champion was promoted; none where there is none, or where it came back with a restore."""
    since = (read_record(models) or {}).get("since")
    return datetime.fromisoformat(since) if since else None


def write_record(models: Path, record: Mapping[str, Any]) -> None:
    """Replace the last decision."""
    scratch = models / f".{RECORD}.partial"
    scratch.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    scratch.replace(models / RECORD)


def put_in_place(source: Path, models: Path) -> None:
    """A copy of the model in `source` as the champion; the one before stays beside it until `keep_place`."""
    scratch, old, target = (models / name for name in (_SCRATCH, _BEFORE, "champion"))
    for leftover in (scratch, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, scratch)
    if target.exists():
        target.replace(old)
    scratch.replace(target)


def keep_place(models: Path) -> None:
    """The decision that put the champion in place is on record: the one before is no longer needed."""
    shutil.rmtree(models / _BEFORE, ignore_errors=True)


def settle_place(models: Path) -> None:
    """After a kill between the champion's place and its record: the champion that the record names is back in place."""
    record, old = read_record(models), models / _BEFORE
    if record is None or champion_folder(models) is not None or not (old / artifact.MANIFEST).is_file():
        return
    if artifact.model_version(old) == record["model_version"]:
        shutil.rmtree(models / "champion", ignore_errors=True)
        old.replace(models / "champion")


def candidates(models: Path) -> dict[Kind, str]:
    """Model kind -> version, of the models that have scores; a failed training leaves a model without any."""
    found: dict[Kind, str] = {}
    for kind, metrics in METRICS.items():
        if (models / kind / artifact.MANIFEST).is_file():
            version = artifact.model_version(models / kind)
            if metrics_version(models / metrics) == version:
                found[kind] = version
    return found


def champion_due(models: Path) -> Due:
    """A decision is due where the candidates are not those that were compared last, or the result was not committed."""
    record, present = read_record(models), candidates(models)
    if record is None or champion_folder(models) is None:
        return Due(True, "there is no decision yet")
    if record["candidates"] != present:
        return Due(True, "the candidates changed since the last decision")
    if not record.get("commit"):
        return Due(True, "the last decision's models are not committed")
    return Due(False, f"{record['model']} {record['model_version']} was chosen among these candidates")


def champion_folder(models: Path) -> Path | None:
    """The folder of the model that was chosen last; none before the first decision."""
    folder = models / "champion"
    record = read_record(models)
    if record is None or not (folder / artifact.MANIFEST).is_file():
        return None
    return folder if artifact.model_version(folder) == record["model_version"] else None
