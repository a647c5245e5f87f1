"""What must hold before a step works: right parameters, and the assets above it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.artifact import Kind
from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.sources.references import refuse_missing_files
from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.training.champion import candidates, champion_folder
from mlops_assets.training.kinds import KINDS
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import known_apps

if TYPE_CHECKING:
    from mlops_assets.params.reviews import ValidationOptions


class UpstreamMissing(PermanentFailure):
    """An asset above has not been materialized here."""


@dataclass(frozen=True)
class _Clone:
    settings: Settings
    repository: VersionRepository
    source: str


def refuse_missing_upstream(asset: str, settings: Settings, repository: VersionRepository, source: str = "") -> None:
    """Raise `UpstreamMissing` with the assets to materialize first, where the asset has nothing to work on."""
    missing = _missing(asset, _Clone(settings, repository, source or settings.source))
    if missing:
        direct = [name for name in _NEEDS[asset] if name in missing]
        raise UpstreamMissing(
            f"{asset} needs {' and '.join(direct)}, which {'is' if len(direct) == 1 else 'are'} not here: materialize "
            f"{', '.join(missing)} first{', in this order' if len(missing) > 1 else ''}, or all of it with make run"
        )


def _missing(asset: str, clone: _Clone) -> list[str]:
    """The assets above that are not here, the topmost first."""
    found: list[str] = []
    needed = [name for name in _NEEDS[asset] if not _IS_THERE[name](clone)]
    if asset == "champion_model" and set(needed) < set(_MODELS):
        needed = []  # Models that were trained are judged without those that were not.
    for name in needed:
        found += [above for above in [*_missing(name, clone), name] if above not in found]
    return found


def _reviews_in(folder: str) -> Callable[[_Clone], bool]:
    def any_month(clone: _Clone) -> bool:
        sample = clone.source == "sample"
        apps = [app for app in known_apps(clone.settings) if (app == SAMPLE_APP) == sample]
        patterns = ("*.parquet", ".validation/*.json")  # A validation that left no usable review is there too.
        return any(any((clone.settings.data / folder / app).glob(pattern)) for app in apps for pattern in patterns)

    return any_month


def _data_version(clone: _Clone) -> bool:
    staged = clone.repository.data_folder / "validated"
    return clone.repository.dataset_version() is not None and any(staged.rglob("*.parquet"))


def _model(kind: Kind) -> Callable[[_Clone], bool]:
    return lambda clone: kind in candidates(clone.settings.models)


def _champion(clone: _Clone) -> bool:
    return champion_folder(clone.settings.models) is not None


def _predictions(clone: _Clone) -> bool:
    return any(clone.settings.predictions.glob("*/*.parquet"))


_MODELS: Mapping[str, Kind] = {kind.asset: kind.name for kind in KINDS.values()}
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "raw_reviews": (),
    "validated_reviews": ("raw_reviews",),
    "versioned_dataset": ("validated_reviews",),
    **dict.fromkeys(_MODELS, ("versioned_dataset",)),
    "champion_model": ("versioned_dataset", *_MODELS),
    "serving_image": ("champion_model",),
    "deployed_image": ("champion_model",),
    "predictions": ("versioned_dataset", "champion_model"),
    "topics": ("predictions",),
}
_IS_THERE: Mapping[str, Callable[[_Clone], bool]] = {
    "raw_reviews": _reviews_in("raw"),
    "validated_reviews": _reviews_in("validated"),
    "versioned_dataset": _data_version,
    **{asset: _model(kind) for asset, kind in _MODELS.items()},
    "champion_model": _champion,
    "predictions": _predictions,
}


def refuse_bad_parameters(settings: Settings) -> None:
    """Raise `BadSetting` for the first wrong value, or a file that params.yaml names and that is not there.

    With DEPLOY_HOST, raise `EngineDown` if no engine answers there: after hours of training it would be too late.
    """
    from mlops_assets.deploy.docker.ssh_machine import require_engine
    from mlops_assets.params.file import SECTION_MODELS

    for name, section in SECTION_MODELS.items():
        section.from_params(settings.sections[name])
    validation_options(settings)
    refuse_missing_files(settings)
    if settings.deploy_host:
        require_engine(settings)


def validation_options(settings: Settings) -> "ValidationOptions":
    """The section `validation`, which may name the apps of params.yaml, of APP, and those with stored reviews."""
    from mlops_assets.params.reviews import ValidationOptions

    options = settings.section(ValidationOptions)
    stored = {folder.name for folder in (settings.data / "raw").glob("*.*") if folder.is_dir()}
    options.require_apps({*settings.apps, SAMPLE_APP, *stored}, settings.now().date())
    return options
