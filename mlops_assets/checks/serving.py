"""Claims about what the serving model says."""

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.settings import Settings


def build() -> list[dg.AssetChecksDefinition]:
    """The check of `predictions`."""

    @dg.asset_check(asset=dg.AssetKey("predictions"))
    def predictions_have_not_drifted(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        """The newest reviews are answered as surely, and in the same mix, as those of the model's own data.

        A model that grows unsure, or finds far more of one sentiment, meets reviews that it did not learn from, or a
        change in what people feel. Both are worth a look, and neither waits for labels. It stops nothing.
        """
        from mlops_assets.reviews.drift import DriftOptions
        from mlops_assets.reviews.drift_plots import plot_mixes
        from mlops_assets.reviews.prediction_drift import measure_predictions
        from mlops_assets.reviews.predictions import read

        report = measure_predictions(read(settings.predictions), DriftOptions.from_params(settings.sections["drift"]))
        shown = {}
        if report.features:
            shown = {
                "features": metadata.table(report.rows()),
                "mixes": metadata.picture(plot_mixes(report), "answers before and now"),
            }
        return dg.AssetCheckResult(
            passed=not report.drifted,
            severity=dg.AssetCheckSeverity.WARN,
            description=report.reason,
            metadata=shown,
        )

    return [predictions_have_not_drifted]
