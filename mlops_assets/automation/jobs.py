"""The jobs: the whole pipeline, the same without collecting, and its last part alone."""

from typing import Any

import dagster as dg

PIPELINE = "pipeline"
REFRESH_MODELS = "refresh_models"
PROMOTE = "promote"
COLLECTS = (PIPELINE,)
"""Jobs of which one run at a time makes sense: a later one covers what an earlier one would."""

_WRITES = {"mlops/writes": "clone"}
"""The tag by which dagster.yaml lets one run at a time write data and models."""


def build(executor: dg.ExecutorDefinition) -> list[Any]:  # dagster names the type of an asset job in a private module
    everything = dg.AssetSelection.all()
    return [
        dg.define_asset_job(
            PIPELINE,
            selection=everything,
            executor_def=executor,
            tags=_WRITES,
            description="Collect, validate, version, train what is due, choose, build and deploy.",
        ),
        dg.define_asset_job(
            REFRESH_MODELS,
            selection=everything - dg.AssetSelection.assets("raw_reviews"),
            executor_def=executor,
            tags=_WRITES,
            description="The pipeline on the reviews that are there, without collecting.",
        ),
        dg.define_asset_job(
            PROMOTE,
            selection=dg.AssetSelection.assets("champion_model").downstream(),
            executor_def=executor,
            tags=_WRITES,
            description="Choose among the models that are there and deploy: launched when one training failed.",
        ),
    ]
