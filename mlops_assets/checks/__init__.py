"""Claims about assets, true when they pass."""

import dagster as dg

from mlops_assets.checks import collection, deploy, reviews, serving


def build() -> list[dg.AssetChecksDefinition]:
    """Every check of the graph."""
    return [*collection.build(), *reviews.build(), *deploy.CHECKS, *serving.build()]
