"""Claims about what the serving model says, and about the topics of reviews."""

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.deploy.service import Service
from mlops_assets.document import as_markdown_text
from mlops_assets.failures import PermanentFailure
from mlops_assets.reporting.run_summary import LIVE_SCORE
from mlops_assets.settings import Settings
from mlops_assets.steps.watching.estimate_accuracy import estimate_live_accuracy
from mlops_assets.workspace import TOPICS

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.quality.claims import Claim
    from mlops_assets.reviews.topics.stored import StoredTopics


def build() -> list[dg.AssetChecksDefinition]:
    """The checks of `predictions` and `topics`."""

    @dg.asset_check(asset=dg.AssetKey("predictions"))
    def predictions_have_not_drifted(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        """Reviews that arrived later are answered as surely, and in the same mix, as those of the model's first run.

        A model that grows unsure, or finds far more of one sentiment, meets reviews that it did not learn from, or a
        change in what people feel. Both are worth a look, and neither waits for labels. It stops nothing; what lasts
        `drift.sustained_ticks` ticks starts a retrain.
        """
        from mlops_assets.params.reviews import DriftOptions
        from mlops_assets.reviews.drift.history import remember
        from mlops_assets.reviews.drift.plots import plot_mixes
        from mlops_assets.reviews.drift.prediction_drift import measure_predictions
        from mlops_assets.reviews.predictions.stored import Predictions
        from mlops_assets.reviews.predictions.unseen import unseen

        predictions = Predictions.read(settings.predictions)
        if not predictions.model_version:
            raise PermanentFailure(f"{settings.predictions} holds no predictions: materialize predictions")
        options = settings.section(DriftOptions)
        report = measure_predictions(unseen(predictions), options)
        lasting = remember(
            settings.instance_folder,
            settings.now(),
            predictions.model_version,
            report,
            "predictions",
            options.sustained_ticks,
        )
        shown: metadata.Metadata = {"sustained": lasting}
        if report.features:
            shown["features"] = metadata.table(report.rows())
            shown["mixes"] = metadata.picture(plot_mixes(report), "answers before and now")
        return dg.AssetCheckResult(
            passed=not report.drifted,
            severity=dg.AssetCheckSeverity.WARN,
            description=as_markdown_text(report.reason),
            metadata=shown,
        )

    @dg.asset_check(asset=dg.AssetKey("predictions"))
    def live_accuracy_is_as_measured(
        settings: dg.ResourceParam[Settings], service: dg.ResourceParam[Service]
    ) -> dg.AssetCheckResult:
        """The service's answers to live traffic are about as often right as those to the test side.

        Estimated from how sure the logged answers are, without labels: weeks before a forward score, it shows that
        clients ask what the model is unsure of. It does not show a model that is sure and wrong. It stops nothing.
        """
        found = estimate_live_accuracy(settings, service.live())
        return dg.AssetCheckResult(
            passed=found.passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=as_markdown_text(found.reason),
            metadata={LIVE_SCORE: dg.MetadataValue.json(found.score)} if found.score else {},
        )

    @dg.asset_check(asset=dg.AssetKey("topics"))
    def most_negative_reviews_have_a_topic(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        """At least half of the negative reviews are about one of the topics.

        If most complaints fit no topic, shares and trends tell little, and something new may be behind it. It stops
        nothing: more topics (`topics.count`) or more reviews help.
        """
        from mlops_assets.reviews.topics.claims import negative_reviews_have_topics

        return _result(negative_reviews_have_topics(*_topics(settings)))

    @dg.asset_check(asset=dg.AssetKey("topics"))
    def topics_kept_their_ids(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        """When topics were found anew, at least half of those before kept their id.

        Trends end where ids change, and names that people gave name nothing any more. It stops nothing.
        """
        from mlops_assets.reviews.topics.claims import ids_were_kept

        return _result(ids_were_kept(_topics(settings)[0]))

    return [
        predictions_have_not_drifted,
        live_accuracy_is_as_measured,
        most_negative_reviews_have_a_topic,
        topics_kept_their_ids,
    ]


def _topics(settings: Settings) -> "tuple[StoredTopics, pd.DataFrame]":
    from mlops_assets.reviews.topics.stored import TopicStore

    store = TopicStore(settings.data / TOPICS)
    about = store.about()
    if about is None:
        raise PermanentFailure(f"{settings.data / TOPICS} holds no topics: materialize topics")
    return about, store.counts()


def _result(claim: "Claim") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=claim.passed, severity=dg.AssetCheckSeverity.WARN, description=as_markdown_text(claim.reason)
    )
