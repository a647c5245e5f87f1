"""Claims about what the serving model says."""

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.deploy.service import Service
from mlops_assets.document import as_markdown_text
from mlops_assets.failures import PermanentFailure
from mlops_assets.reporting.run_summary import LIVE_SCORE
from mlops_assets.settings import Settings
from mlops_assets.steps.watching.estimate_accuracy import estimate_live_accuracy


def build() -> list[dg.AssetChecksDefinition]:
    """The checks of `predictions`."""

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

    return [predictions_have_not_drifted, live_accuracy_is_as_measured]
