"""Whether the newest reviews still look like those that the serving model was trained on. Warns, never blocks."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.resources.dvc_repository import DvcRepository
from mlops_assets.resources.restore_champion import keep_profile_of
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.drift import DriftPoint, DriftReport

NAME = "data_has_not_drifted"
WHY = (
    "A model answers well on reviews like those that it was trained on. Where the newest ones differ, its scores no "
    "longer say how it does, and a retrain may be due."
)
_KEPT_POINTS = 200


def judge_drift(settings: Settings, frame: "pd.DataFrame", repository: DvcRepository) -> dg.AssetCheckResult:
    """The newest reviews against the profile of the serving model's data; the verdict joins the history."""
    from mlops_assets.reviews.drift import DriftOptions, measure, recent
    from mlops_assets.reviews.drift_profile import Profile
    from mlops_assets.training.champion import read_record

    champion = read_record(settings.models)
    if champion is None:
        return _result(passed=True, reason="not judged: no model was chosen yet", more={})
    trained_on = str(champion["dataset_version"])
    path = settings.profile(trained_on)
    if not keep_profile_of(repository, path, trained_on):
        reason = f"not judged: the branch knows no data {trained_on}, on which the serving model was trained"
        return _result(passed=True, reason=reason, more={})
    options = DriftOptions.from_params(settings.sections["drift"])
    report = measure(Profile.load(path), recent(frame, options), settings.label_rule, options)
    lasting = _remember(settings, report, str(champion["model_version"]), int(options.sustained_ticks))
    return _result(passed=not report.drifted, reason=report.reason, more={"sustained": lasting, **_shown(report)})


def read_history(folder: Path) -> "list[DriftPoint]":
    """The verdicts of earlier ticks, oldest first."""
    from mlops_assets.reviews.drift import DriftPoint

    path = folder / "drift.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        DriftPoint(datetime.fromisoformat(row["at"]), row["model_version"], row["drifted"], tuple(row["features"]))
        for row in rows
    ]


def _remember(settings: Settings, report: "DriftReport", model_version: str, ticks: int) -> str:
    """Add the verdict to the history; what it says of drift that lasts."""
    from mlops_assets.reviews.drift import DriftPoint, sustained

    features = tuple(feature.name for feature in report.features if feature.drifted)
    point = DriftPoint(settings.now(), model_version, report.drifted, features)
    history = [*read_history(settings.instance_folder), point][-_KEPT_POINTS:]
    _write_history(settings.instance_folder, history)
    return sustained(history, ticks).reason


def _write_history(folder: Path, history: "Sequence[DriftPoint]") -> None:
    lines = [
        json.dumps({**vars(point), "at": point.at.isoformat(), "features": list(point.features)}) for point in history
    ]
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "drift.jsonl.partial"
    scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
    scratch.replace(folder / "drift.jsonl")


def _shown(report: "DriftReport") -> dict[str, Any]:
    from mlops_assets.reviews.drift_plots import plot_features, plot_mixes

    if not report.features:
        return {}
    shown = {
        "features": metadata.table(report.rows()),
        "by_feature": metadata.picture(plot_features(report), "drift by feature"),
        "mixes": metadata.picture(plot_mixes(report), "mixes before and now"),
    }
    if report.drifted:
        shown["ngrams"] = metadata.table(report.ngrams)
        shown["examples"] = metadata.table([{"review": text} for text in report.examples])
    return shown


def _result(*, passed: bool, reason: str, more: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey("validated_reviews"),
        check_name=NAME,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=reason,
        metadata=more,
    )
