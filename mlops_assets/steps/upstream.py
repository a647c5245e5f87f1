"""What an asset needs from those above it, said before it starts where a person materializes it alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import known_apps


class UpstreamMissing(PermanentFailure):
    """An asset above has not been materialized here."""


@dataclass(frozen=True)
class _Given:
    settings: Settings
    repository: VersionRepository
    source: str


def refuse_missing_upstream(asset: str, settings: Settings, repository: VersionRepository, source: str = "") -> None:
    """Raise `UpstreamMissing` with the assets to materialize first, where the asset has nothing to work on."""
    missing = _missing(asset, _Given(settings, repository, source or settings.source))
    if missing:
        direct = [name for name in _NEEDS[asset] if name in missing]
        raise UpstreamMissing(
            f"{asset} needs {' and '.join(direct)}, which {'is' if len(direct) == 1 else 'are'} not here: materialize "
            f"{', '.join(missing)} first{', in this order' if len(missing) > 1 else ''}, or all of it with make run"
        )


def _missing(asset: str, given: _Given) -> list[str]:
    """The assets above that are not here, the topmost first."""
    found: list[str] = []
    needed = [name for name in _NEEDS[asset] if not _IS_THERE[name](given)]
    if asset == "champion_model" and len(needed) == 1 and needed[0] != "versioned_dataset":
        needed = []  # one model is judged alone
    for name in needed:
        found += [one for one in [*_missing(name, given), name] if one not in found]
    return found


def _reviews_in(folder: str) -> Callable[[_Given], bool]:
    def are_there(given: _Given) -> bool:
        sample = given.source == "sample"
        apps = [app for app in known_apps(given.settings) if (app == SAMPLE_APP) == sample]
        patterns = ("*.parquet", ".validation/*.json")  # a validation that left nothing usable took place
        return any(any((given.settings.data / folder / app).glob(pattern)) for app in apps for pattern in patterns)

    return are_there


def _data_version(given: _Given) -> bool:
    staged = given.repository.data_folder / "validated"
    return given.repository.dataset_version() is not None and any(staged.rglob("*.parquet"))


def _model(kind: str) -> Callable[[_Given], bool]:
    def is_there(given: _Given) -> bool:
        from mlops_assets.training.champion import candidates

        return kind in candidates(given.settings.models)

    return is_there


def _champion(given: _Given) -> bool:
    from mlops_assets.training.champion import champion_folder

    return champion_folder(given.settings.models) is not None


_NEEDS: Mapping[str, tuple[str, ...]] = {
    "raw_reviews": (),
    "validated_reviews": ("raw_reviews",),
    "versioned_dataset": ("validated_reviews",),
    "bert_model": ("versioned_dataset",),
    "classic_model": ("versioned_dataset",),
    "champion_model": ("versioned_dataset", "bert_model", "classic_model"),
    "serving_image": ("champion_model",),
    "deployed_image": ("champion_model",),
    "predictions": ("versioned_dataset", "champion_model"),
}
_IS_THERE: Mapping[str, Callable[[_Given], bool]] = {
    "raw_reviews": _reviews_in("raw"),
    "validated_reviews": _reviews_in("validated"),
    "versioned_dataset": _data_version,
    "bert_model": _model("bert"),
    "classic_model": _model("classic"),
    "champion_model": _champion,
}
