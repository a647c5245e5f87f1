"""The stored reviews as a data version, and what the pipeline's clone holds of it."""

from typing import TYPE_CHECKING

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.evidence import gather, refuse_broken
from mlops_assets.steps.upstream import refuse_missing_upstream
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.version_writer import DataVersion
from mlops_assets.workspace import known_apps

if TYPE_CHECKING:
    import pandas as pd


def labelled_reviews(settings: Settings, repository: VersionRepository) -> "pd.DataFrame":
    """The labelled reviews of the version in the pipeline's clone, with their sides."""
    from mlops_assets.reviews.stored.dataset import training_frame

    return training_frame(repository.data_folder / "validated", settings.label_rule, settings.sections["sides"])


def current_dataset_version(repository: VersionRepository) -> str:
    """The name of the data that the pipeline's branch holds."""
    version = repository.dataset_version()
    if version is None:
        raise PermanentFailure("no data version exists yet: materialize versioned_dataset first")
    return version


def commit_version(
    settings: Settings, source: ReviewSource, repository: VersionRepository, run_id: str
) -> tuple[DataVersion, "pd.DataFrame"]:
    """The stored reviews of this source as a version (the one that is there where nothing changed), and its labelled
    reviews.
    """
    from mlops_assets.reviews.stored.dataset import data_summary, take_snapshot
    from mlops_assets.reviews.stored.store import ReviewStore

    refuse_missing_upstream("versioned_dataset", settings, repository, source.name)
    refuse_broken(gather(settings, source, repository), source.incomplete(ReviewStore(settings.data / "raw")))
    apps = known_apps(settings)
    scratch = settings.instance_folder / "snapshot"
    raw = take_snapshot(settings.data / "raw", source.name, apps, scratch / "raw")
    validated = take_snapshot(settings.data / "validated", source.name, apps, scratch / "validated")
    repository.prepare()
    repository.stage_data(raw.files, validated.files)
    frame = labelled_reviews(settings, repository)
    summary = {"source": source.name, **data_summary(frame)}
    return repository.commit_data(run_id, f"Data of {', '.join(summary['rows'])}", summary), frame
