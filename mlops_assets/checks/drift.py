"""Whether the newest reviews still look like those that the serving model was trained on. Warns, never blocks."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.settings import Settings
from mlops_assets.steps.restore import keep_profile_of
from mlops_assets.trained_on import TrainedOn
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.drift.drift import DriftReport

NAME = "data_has_not_drifted"
WHY = (
    "A model answers well on reviews like those that it was trained on. Where the newest ones differ, its scores no "
    "longer say how it does, and a retrain may be due."
)


def judge_drift(settings: Settings, frame: "pd.DataFrame", repository: VersionRepository) -> dg.AssetCheckResult:
    """The newest reviews against the profile of the serving model's data; the verdict joins the history."""
    from mlops_assets.params.drift import DriftOptions
    from mlops_assets.reviews.drift.drift import measure, recent
    from mlops_assets.reviews.drift.history import remember
    from mlops_assets.reviews.drift.profile import Profile
    from mlops_assets.training.champion import read_decision

    champion = read_decision(settings.models)
    if champion is None:
        return _result(passed=True, reason="not judged: no model was chosen yet", more={})
    if reason := _of_other_reviews(champion.reviews_trained_on, frame):
        return _result(passed=True, reason=reason, more={})
    trained_on = champion.dataset_version
    path = settings.profile(trained_on)
    if not keep_profile_of(repository, path, trained_on):
        reason = f"not judged: the branch knows no data {trained_on}, on which the serving model was trained"
        return _result(passed=True, reason=reason, more={})
    options = DriftOptions.from_params(settings.sections["drift"])
    report = measure(Profile.load(path), recent(frame, options), settings.label_rule, options)
    lasting = remember(
        settings.instance_folder,
        settings.now(),
        champion.model_version,
        report,
        "reviews",
        options.sustained_ticks,
    )
    return _result(passed=not report.drifted, reason=report.reason, more={"sustained": lasting, **_shown(report)})


def _of_other_reviews(serving: TrainedOn, frame: "pd.DataFrame") -> str | None:
    """Why these reviews cannot show drift: the serving model was never made for them. Else None.

    A record that does not say what the model was trained on gives no reason.
    """
    data = TrainedOn.of(frame["app_id"], frame["source"])
    if not serving.apps or not data.apps:
        return None
    if serving.generated == data.generated and set(serving.apps) & set(data.apps):
        return None
    own, other = (
        "generated reviews" if one.generated else f"reviews of {', '.join(one.apps)}" for one in (serving, data)
    )
    return f"not judged: the serving model was trained on {own}, and these are {other}"


def _shown(report: "DriftReport") -> dict[str, Any]:
    from mlops_assets.reviews.drift.plots import plot_features, plot_mixes

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
