"""Judge whether the newest reviews still look like those that the serving model was trained on."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.code_version import code_version
from mlops_assets.files import sha256
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_reviews import Evidence
from mlops_assets.steps.restore import keep_profile_of
from mlops_assets.trained_on import TrainedOn
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.drift.drift import DriftReport

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class DriftVerdict:
    """Whether the reviews drifted, and the reason; `sustained` describes drift that has lasted, from the history.

    `tables` have rows by name; `pictures` have an alternative text and a PNG in base64.
    """

    drifted: bool
    reason: str
    sustained: str = ""
    tables: Mapping[str, Rows] = field(default_factory=dict)
    pictures: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def judge_drift(evidence: Evidence) -> DriftVerdict:
    """The verdict on the newest reviews. The same reviews against the same model are judged once."""
    from mlops_assets.reviews.drift.newest import NAME, newest_reviews
    from mlops_assets.reviews.stored.months import content_key
    from mlops_assets.reviews.stored.snapshot import PROVENANCE
    from mlops_assets.training.champion import read_decision

    settings = evidence.settings
    rules = (settings.sections["drift"], settings.label_rule, read_decision(settings.models))
    key = repr((content_key(evidence.now), evidence.source, rules))
    data = TrainedOn.of({name.split("/")[0] for name in evidence.now}, PROVENANCE[evidence.source])

    def newest(count: int) -> "pd.DataFrame":
        return newest_reviews(evidence.now, count, settings.instance_folder / NAME)

    kept = Kept(settings.instance_folder / "drift.json", _code())
    found = kept.of("verdict", key, lambda: asdict(compare_with_training(settings, evidence.repository, data, newest)))
    kept.save()
    return DriftVerdict(**found)


def compare_with_training(
    settings: Settings, repository: VersionRepository, data: TrainedOn, newest: Callable[[int], "pd.DataFrame"]
) -> DriftVerdict:
    """The newest reviews against the profile of the serving model's data; the verdict joins the history.

    `data` names the apps and sources of the reviews; `newest(count)` returns at least `count` of them.
    """
    from mlops_assets.params.reviews import DriftOptions
    from mlops_assets.reviews.drift.drift import measure, recent
    from mlops_assets.reviews.drift.history import remember
    from mlops_assets.reviews.drift.profile import Profile
    from mlops_assets.training.champion import read_decision

    champion = read_decision(settings.models)
    if champion is None:
        return DriftVerdict(drifted=False, reason="not judged: no model was chosen yet")
    if reason := _of_other_reviews(champion.reviews_trained_on, data):
        return DriftVerdict(drifted=False, reason=reason)
    trained_on = champion.dataset_version
    path = settings.profile(trained_on)
    if not keep_profile_of(repository, path, trained_on):
        reason = f"not judged: the branch knows no data {trained_on}, on which the serving model was trained"
        return DriftVerdict(drifted=False, reason=reason)
    options = settings.section(DriftOptions)
    reviews = recent(newest(options.recent_reviews), options)
    report = measure(Profile.load(path), reviews, settings.label_rule, options)
    lasting = remember(
        settings.instance_folder,
        settings.now(),
        champion.model_version,
        report,
        "reviews",
        options.sustained_ticks,
    )
    return _verdict(report, lasting)


def _of_other_reviews(serving: TrainedOn, data: TrainedOn) -> str | None:
    """Why these reviews cannot show drift: the serving model was never made for them. Else None.

    A model without a record of its training reviews gives no reason.
    """
    if not serving.apps or not data.apps:
        return None
    if serving.generated == data.generated and set(serving.apps) & set(data.apps):
        return None
    own, other = (
        "generated reviews" if reviews.generated else f"reviews of {', '.join(reviews.apps)}"
        for reviews in (serving, data)
    )
    return f"not judged: the serving model was trained on {own}, and these are {other}"


def _verdict(report: "DriftReport", lasting: str) -> DriftVerdict:
    from mlops_assets.reviews.drift.plots import plot_features, plot_mixes

    if not report.features:
        return DriftVerdict(report.drifted, report.reason, lasting)
    tables: dict[str, Rows] = {"features": report.rows()}
    if report.drifted:
        tables["ngrams"] = report.ngrams
        tables["examples"] = [{"review": text} for text in report.examples]
    return DriftVerdict(
        bool(report.drifted),
        report.reason,
        lasting,
        tables=tables,
        pictures={
            "by_feature": ("drift by feature", base64.b64encode(plot_features(report)).decode()),
            "mixes": ("mixes before and now", base64.b64encode(plot_mixes(report)).decode()),
        },
    )


@cache
def _code() -> str:
    return (
        code_version("mlops_assets.reviews.drift.drift", "mlops_assets.reviews.drift.plots")
        + sha256(Path(__file__))[:12]
    )
