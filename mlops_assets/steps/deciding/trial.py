"""A recipe tried beside the live model: trained and judged in a folder of its own, of which nothing stays."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mlops_assets.artifact import METRICS_FILES, Kind
from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.choose import NoModelMayServe, judge_candidates
from mlops_assets.steps.train import TrainedModel, train
from mlops_assets.steps.version import current_dataset_version
from mlops_assets.training.champion import RECORD, Decision, candidates
from mlops_assets.training.kinds import KINDS
from mlops_assets.training.metrics import Metrics
from mlops_assets.versioning.git.pipeline_commit import OPTIONAL
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from mlops_assets.deploy.service import Live

_FOLDER = "trial"


class DataMoved(TransientFailure):
    """A run made another data version while the trial was at work."""


@dataclass(frozen=True)
class Trial:
    """What came of the recipes, and what the gate says of it.

    serves: whether a model is live here; without one, the model chosen last stands in for it
    decision: None if no model may serve; `refused` says why
    """

    dataset_version: str
    trained: Mapping[Kind, TrainedModel]
    metrics: Mapping[Kind, Metrics]
    serves: bool
    decision: Decision | None
    refused: str = ""


@contextmanager
def tried(
    settings: Settings,
    repository: VersionRepository,
    live: "Callable[[], Live | None]",
    recipes: Mapping[str, Mapping[str, Any]],
    *,
    report: Callable[[str], None],
) -> Iterator[tuple[Trial, Path]]:
    """The trial of these recipes, and the folder of its models, which is gone afterwards.

    A kind of model that is not due is taken as it is. The models, the data, the branch and the service stay as they
    are: all that is written lies in one folder, which the next trial clears if this one was killed.
    """
    with _scratch(settings) as root:
        for name in (*METRICS_FILES, "champion"):
            if (settings.models / name).is_dir():
                shutil.copytree(settings.models / name, root / "models" / name)
        for name in (*METRICS_FILES.values(), RECORD):
            if (settings.models / name).is_file():
                shutil.copyfile(settings.models / name, root / "models" / name)
        for name in ("data", ".releases"):
            (root / name).symlink_to(settings.root / name)
        own = settings.model_copy(update={"root": root, "sections": {**settings.sections, **recipes}})
        yield _try(own, repository, live, report), own.models


def _try(
    settings: Settings,
    repository: VersionRepository,
    live: "Callable[[], Live | None]",
    report: Callable[[str], None],
) -> Trial:
    bring_data(repository)
    before = current_dataset_version(repository)
    trained: dict[Kind, TrainedModel] = {
        kind.name: train(kind, settings, repository, run_id="make try", force=False, report=report)
        for kind in KINDS.values()
    }
    decision, refused, serving = None, "", live()
    try:
        decision = judge_candidates(settings, repository, serving, run_id="make try")
    except NoModelMayServe as failure:
        refused = str(failure)
    if (now := current_dataset_version(repository)) != before:
        raise DataMoved(f"a run made data version {now} while the trial worked on {before}: try again")
    measured: dict[Kind, Metrics] = {}
    for kind in candidates(settings.models):
        if found := Metrics.read(settings.models / METRICS_FILES[kind]):
            measured[kind] = found
    return Trial(
        before,
        trained,
        measured,
        serving is not None,
        decision,
        refused,
    )


def bring_data(repository: VersionRepository) -> None:
    """Put the newest version's data into the private clone: after a restore into a fresh clone it has none."""
    if repository.dataset_version() is None or any((repository.data_folder / "validated").rglob("*.parquet")):
        return
    raw, validated = (repository.stored_files(f"data/{name}") for name in ("raw", "validated"))
    repository.stage_data(raw, validated, {output: repository.stored_files(output) for output in OPTIONAL})


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    """A folder for one trial at a time, with an empty `models`."""
    settings.instance_folder.mkdir(parents=True, exist_ok=True)
    folder = settings.instance_folder / _FOLDER
    try:
        with FileLock(settings.instance_folder / f"{_FOLDER}.lock", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            try:
                (folder / "models").mkdir(parents=True)
                (folder / ".dagster").mkdir()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        raise PermanentFailure("another make try works in this clone: wait until it has ended") from None
