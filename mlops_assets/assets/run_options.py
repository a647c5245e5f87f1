"""The options of one run, as one block in the Launchpad."""

import dagster as dg
from pydantic import Field


class RunOptions(dg.ConfigurableResource):
    """What a person may decide for this run alone."""

    force_retrain: bool = Field(
        default=False, description="Train both models even where data, recipe and code are those of the last training."
    )
    skip_deploy: bool = Field(
        default=False, description="Build and verify the release, but leave the running service as it is."
    )
