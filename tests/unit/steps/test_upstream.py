"""An asset that is materialized alone says what to materialize first, at once and without a retry."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from mlops_assets.artifact import Golden, TrainedWith, seal
from mlops_assets.assets.partitions import range_tags
from mlops_assets.definitions import build_definitions
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import UpstreamMissing, refuse_missing_upstream
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.training.champion import Decision, write_decision
from tests.fakes.service import fake_service
from tests.user_clone import make_clone, settings_of

NOW, MONTH = "2026-04-15T00:00:00Z", "2026-03"
REVIEWS = ["raw_reviews", "validated_reviews"]
DATA = [*REVIEWS, "versioned_dataset"]
CHAMPION = [*DATA, "bert_model", "classic_model", "champion_model"]
FIRST = {
    "validated_reviews": ["raw_reviews"],
    "versioned_dataset": REVIEWS,
    "bert_model": DATA,
    "classic_model": DATA,
    "champion_model": CHAMPION[:-1],
    "serving_image": CHAMPION,
    "deployed_image": CHAMPION,
    "predictions": CHAMPION,
    "topics": [*CHAMPION, "predictions"],
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("upstream") / "clone")


@pytest.mark.parametrize("asset", FIRST)
def test_materialized_with_nothing_there_an_asset_names_the_ones_before_it(asset: str, clone: Path) -> None:
    settings = settings_of(clone, NOW=NOW)
    definitions = build_definitions(settings, {"service": fake_service(settings.service_folder)})
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_job_def("pipeline").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(asset)],
            tags=range_tags(settings, [SAMPLE_APP], MONTH, MONTH),
            raise_on_error=False,
        )
    [failure] = [event for event in done.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data
    assert told is not None
    assert f"{asset} needs " in str(told.description)
    assert f"materialize {', '.join(FIRST[asset])} first" in str(told.description)
    assert not [event for event in done.all_events if event.is_step_up_for_retry]


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _raw(settings: Settings) -> None:
    ReviewStore(settings.data / "raw").upsert(SAMPLE_APP, sample.generate(MONTH))


def _validated(settings: Settings) -> None:
    _file(settings.data / "validated" / SAMPLE_APP / f"{MONTH}.parquet")


def _all_unusable(settings: Settings) -> None:
    _file(settings.data / "validated" / SAMPLE_APP / ".validation" / f"{MONTH}.json")


def _versioned(settings: Settings) -> None:
    _file(settings.pipeline_clone / "data" / "validated" / SAMPLE_APP / f"{MONTH}.parquet")


def _model(folder: Path) -> str:
    folder.mkdir(parents=True)
    trained = TrainedWith("0" * 12, "binary", "r", "c")
    return seal(
        folder, kind="classic", labels=["negative", "positive"], text_version=1, trained_with=trained, metrics={},
        golden=[Golden("bagus", (0.1, 0.9))],
    )  # fmt: skip


def _classic(settings: Settings) -> None:
    version = _model(settings.models / "classic")
    (settings.models / "metrics.json").write_text(f'{{"model_version": "{version}"}}')


def _champion(settings: Settings) -> None:
    write_decision(settings.models, Decision(_model(settings.models / "champion")))


@pytest.mark.parametrize(
    ("there", "asset", "first"),
    [
        ([_raw], "versioned_dataset", ["validated_reviews"]),
        ([_raw], "bert_model", ["validated_reviews", "versioned_dataset"]),
        ([_raw, _all_unusable], "versioned_dataset", []),
        ([_raw, _validated], "classic_model", ["versioned_dataset"]),
        ([_raw, _validated], "champion_model", ["versioned_dataset", "bert_model", "classic_model"]),
        ([_versioned], "bert_model", []),
        ([_versioned], "champion_model", ["bert_model", "classic_model"]),
        ([_versioned, _classic], "champion_model", []),
        ([_versioned, _classic], "serving_image", ["champion_model"]),
        ([_versioned, _classic], "predictions", ["champion_model"]),
        ([_classic, _champion], "predictions", DATA),
        ([_champion], "serving_image", []),
        ([_champion], "deployed_image", []),
        ([_versioned, _champion], "predictions", []),
        ([_versioned, _champion], "topics", ["predictions"]),
    ],
)
def test_with_only_some_there_the_missing_ones_are_named_in_order(
    there: list[Callable[[Settings], None]], asset: str, first: list[str], tmp_path: Path, clone: Path
) -> None:
    (tmp_path / "params.yaml").write_bytes((clone / "params.yaml").read_bytes())
    settings = settings_of(tmp_path, NOW=NOW)
    for make in there:
        make(settings)
    version = "1" * 12 if _versioned in there else None
    repository = SimpleNamespace(data_folder=settings.pipeline_clone / "data", dataset_version=lambda: version)
    if not first:
        refuse_missing_upstream(asset, settings, repository)  # pyright: ignore[reportArgumentType]
        return
    with pytest.raises(UpstreamMissing, match=f"materialize {', '.join(first)} first"):
        refuse_missing_upstream(asset, settings, repository)  # pyright: ignore[reportArgumentType]


def test_reviews_of_another_source_do_not_count(tmp_path: Path, clone: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((clone / "params.yaml").read_bytes())
    settings = settings_of(tmp_path, NOW=NOW)
    _raw(settings)
    with pytest.raises(UpstreamMissing, match="materialize raw_reviews first"):
        refuse_missing_upstream("validated_reviews", settings, SimpleNamespace(), "play_store")  # pyright: ignore[reportArgumentType]
