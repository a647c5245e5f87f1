"""A real Ray cluster of two nodes: the same files as in one process, and a node that is killed costs no result."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.assets.partitions import range_tags
from mlops_assets.definitions import build_definitions
from mlops_assets.failures import TransientFailure
from mlops_assets.params.reviews import Sides
from mlops_assets.reviews.quality import validate
from mlops_assets.reviews.stored.counts import Labelling, count
from mlops_assets.reviews.stored.months import files_below
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.spread.ray_cluster import RayCluster
from mlops_assets.steps.score import score
from mlops_assets.training.champion import Decision, write_decision
from mlops_assets.workspace import known_apps
from tests.fakes.tiny_model import seal_tiny_model
from tests.fakes.version_repository import FakeVersionRepository
from tests.ray_nodes import Nodes, two_nodes
from tests.unit.reviews.rows import frame, review
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore:Ray Client connection timed out"),
]

APPS = ("com.example.one", "com.example.two")
MONTHS = [f"2026-{month:02}" for month in range(1, 7)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes(cores=1, second=2) as nodes:
        yield nodes


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reviews of two apps in six months each, every tenth unusable; each month is a piece of work."""
    monkeypatch.setattr(validate, "_MOST_BYTES", 1)
    for app in APPS:
        rows = [
            review(
                f"{month}-{number}",
                app_id=app,
                review_text=f"bagus {app} {month} {number}",
                review_date=f"{month}-{1 + number % 28:02}",
                scraped_at="2026-07-01",
                rating=1 + number % 7,
            )
            for month in MONTHS
            for number in range(60)
        ]
        ReviewStore(tmp_path / "one" / "raw").upsert(app, frame(*rows))
    shutil.copytree(tmp_path / "one", tmp_path / "spread")
    return tmp_path


def files_of(data: Path) -> dict[str, bytes]:
    return {str(path.relative_to(data)): path.read_bytes() for path in data.glob("[qv]*/**/2026*")}


def test_validation_on_two_nodes_writes_the_same_bytes(nodes: Nodes, raw: Path) -> None:
    months = dict.fromkeys(APPS, MONTHS)
    alone = validate.validate_apps(raw / "one", months)
    spread = validate.validate_apps(raw / "spread", months, RayCluster(nodes.address, print))
    assert spread == alone
    assert sum(month.quarantined for month in alone) > 0
    assert files_of(raw / "spread") == files_of(raw / "one")


def test_sides_are_counted_on_two_nodes_as_on_one(nodes: Nodes, raw: Path) -> None:
    validate.validate_apps(raw / "one", dict.fromkeys(APPS, MONTHS))
    files = files_below(raw / "one" / "validated")
    alone, spread = (Labelling("binary", Sides(), raw / name) for name in ("counted alone", "counted"))
    assert count(files, spread, RayCluster(nodes.address, print)) == count(files, alone)
    kept = [
        {path.relative_to(each.kept): path.read_bytes() for path in each.kept.rglob("20*.parquet")}
        for each in (alone, spread)
    ]
    assert len(kept[0]) == len(files)
    assert kept[0] == kept[1]


def test_a_node_killed_in_the_middle_of_scoring_costs_no_answer_and_changes_no_byte(nodes: Nodes, raw: Path) -> None:
    settings = settings_of(make_clone(raw / "clone"), NOW="2026-07-01T00:00:00Z")
    repository: Any = FakeVersionRepository()
    validate.validate_apps(raw / "one", dict.fromkeys(APPS, MONTHS))
    shutil.copytree(raw / "one" / "validated", repository.data_folder / "validated")
    version = {"data/raw": "a" * 32 + ".dir", "data/validated": "b" * 32 + ".dir"}
    repository.commits.append({"commit": "c" * 40, "files": version})
    write_decision(settings.models, Decision(seal_tiny_model(settings.models / "champion")))
    alone = score(settings, repository)
    expected = {path: path.read_bytes() for path in settings.predictions.glob("*/*.parquet")}
    assert len(expected) == len(APPS) * len(MONTHS)
    shutil.rmtree(settings.predictions)
    with ThreadPoolExecutor(1) as threads:
        spread = threads.submit(score, settings, repository, spread=RayCluster(nodes.address, print))
        wait_until(lambda: any(path.exists() for path in expected), spread.done)
        assert not all(path.exists() for path in expected)
        nodes.kill_second()
        found = spread.result()
    nodes.add(2)
    assert {path: path.read_bytes() for path in settings.predictions.glob("*/*.parquet")} == expected
    assert (found.labels, found.progress) == (alone.labels, alone.progress)


def test_what_a_task_raises_reaches_the_run_as_it_is(nodes: Nodes, raw: Path) -> None:
    path = ReviewStore(raw / "spread" / "raw").path(APPS[0], MONTHS[0])
    pd.DataFrame({"text": ["x"]}).to_parquet(path)
    with pytest.raises(validate.columns.UnknownColumns, match=MONTHS[0]):
        validate.validate_apps(raw / "spread", dict.fromkeys(APPS, MONTHS), RayCluster(nodes.address, print))


def test_a_training_whose_node_is_killed_says_what_it_waits_for_and_goes_on_from_its_checkpoint(
    nodes: Nodes, tmp_path: Path
) -> None:
    bert = {"layers": 1, "hidden": 32, "heads": 2, "vocabulary_size": 800, "epochs": 12, "batch_size": 8}
    root = make_clone(tmp_path / "clone", bert={**bert, "checkpoint_steps": 2}, ray={"training_cpus": 2})
    with ThreadPoolExecutor(1) as threads, dg.DagsterInstance.ephemeral() as instance:
        run = threads.submit(run_up_to_bert, root, nodes.address, instance)
        wait_until((root / ".dagster" / "checkpoints" / "bert" / "checkpoint.safetensors").is_file, run.done)
        nodes.kill_second()
        wait_until(lambda: "waits for a Ray node with 2 cores and 0 GPUs" in log_of(instance), run.done)
        nodes.add(2)
        assert run.result()
    metrics = json.loads((root / "models" / "bert_metrics.json").read_text())
    assert metrics["training"]["resumed_at"]
    assert (root / "models" / "bert" / "manifest.json").is_file()


def test_a_cluster_that_is_away_is_named_and_nothing_is_written(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"ray://127.0.0.1:{free_port()}"
    with pytest.raises(TransientFailure, match=f"no Ray cluster answers at RAY_ADDRESS={address}"):
        validate.validate_apps(raw / "spread", dict.fromkeys(APPS, MONTHS), RayCluster(address, print))
    assert files_of(raw / "spread") == {}


def run_up_to_bert(root: Path, address: str, instance: dg.DagsterInstance) -> bool:
    settings = settings_of(root, NOW="2026-04-15T00:00:00Z", RAY_ADDRESS=address)
    job = build_definitions(settings).resolve_job_def("pipeline")
    assets = ("raw_reviews", "validated_reviews", "versioned_dataset", "bert_model")
    done = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags=range_tags(settings, sorted(known_apps(settings)), "2026-01", "2026-03"),
        raise_on_error=False,
    )
    return done.success


def log_of(instance: dg.DagsterInstance) -> str:
    return "\n".join(entry.user_message for run in instance.get_runs() for entry in instance.all_logs(run.run_id))


def wait_until(holds: Callable[[], bool], ended: Callable[[], bool]) -> None:
    until = time.monotonic() + 900
    while not holds():
        assert not ended(), "the run ended before"
        assert time.monotonic() < until
        time.sleep(0.05)
