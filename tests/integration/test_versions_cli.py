"""`make versions`, `make restore` and a fresh clone, after real runs with a real service."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import httpx
import pandas as pd
import pytest

from mlops_assets import outside
from mlops_assets.artifact import model_version
from mlops_assets.cli import data as commands
from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.reviews.quality.quality import no_review_is_lost
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_reviews import Evidence
from mlops_assets.steps.restore import keep_profile_of, settle
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.training.champion import champion_due
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.versions import Version
from tests.user_clone import free_port, git, make_clone, settings_of

APRIL = "2026-04-15T00:00:00Z"


@dataclass
class Place:
    """A clone whose remote is a folder beside it, so that other clones reach it too."""

    root: Path
    port: int = field(default_factory=free_port)
    erased: str = ""

    def settings(self, now: str = APRIL) -> Settings:
        return settings_of(
            self.root,
            NOW=now,
            PORT=str(self.port),
            DEPLOY_TARGET="process",
            DVC_REMOTE_URL=str(self.root.parent / "remote"),
        )

    @property
    def repository(self) -> VersionRepository:
        return outside.build(self.settings())["repository"]

    def versions(self) -> list[Version]:
        return self.repository.versions()

    def ids(self, part: str = "raw") -> set[str]:
        files = sorted((self.root / "data" / part).rglob("*.parquet"))
        return {one for path in files for one in pd.read_parquet(path, columns=["review_id"])["review_id"]}

    def served(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=60).json()["model_version"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two versions: February's, and April's with more months, another champion, and a review fewer."""
    # A margin so wide that the second version's model takes the first one's place.
    found = Place(
        make_clone(
            tmp_path_factory.mktemp("versions") / "clone",
            evaluate={"rounds": 200, "worse_points": 100, "anchor_points": 100},
        )
    )
    assert run_pipeline(found.settings("2026-02-15T00:00:00Z")) == 0
    found.erased = sorted(found.ids())[0]
    assert commands.erase_reviews(found.settings(), author="", review=found.erased) == 0
    assert run_pipeline(found.settings()) == 0
    yield found
    Service(ProcessBackend(found.root / ".serving", found.port)).stop()


def test_versions_name_the_model_that_was_chosen_and_the_live_one(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    newest, _, first, _ = place.versions()
    assert newest.champion == place.served()
    assert first.champion in first.models.values()
    assert commands.show_versions(place.settings()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 4
    assert [line.split()[0] for line in lines[1:]] == [one.commit[:12] for one in place.versions()]
    [live] = [line for line in lines[1:] if line.endswith("live")]
    assert live.startswith(newest.commit[:12])


def test_the_same_table_is_on_the_page_of_the_version(place: Place) -> None:
    with open_instance(place.settings()) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("versioned_dataset"))
    shown = str(event.asset_materialization.metadata["versions"].value)
    assert place.versions()[1].commit[:12] in shown
    assert "| commit |" in shown


def test_a_restore_brings_back_data_models_and_the_service_but_nothing_erased(place: Place) -> None:
    newest, _, first, _ = place.versions()
    before, later = place.served(), place.ids()
    assert first.champion != before
    assert commands.restore_version(place.settings(), first.commit) == 0
    assert place.served() == first.champion == model_version(place.root / "models" / "champion")
    assert place.ids() < later
    assert place.erased not in place.ids() | place.ids("validated")
    assert {place.root / "models" / kind for kind in first.models if _version(place, kind) == first.models[kind]} == {
        place.root / "models" / kind for kind in ("bert", "classic", "blend")
    }
    assert not champion_due(place.settings().models)

    given = Evidence(place.settings(), outside.build(place.settings())["review_source"], place.repository)
    assert no_review_is_lost(given.before, given.now, given.raw, is_erased=lambda one: one == place.erased).passed

    assert commands.restore_version(place.settings(), newest.commit) == 0
    assert place.served() == before
    assert place.ids() == later


@pytest.mark.long
def test_a_run_after_a_restore_goes_on_from_there(place: Place) -> None:
    newest, _, first, _ = place.versions()
    later = place.ids()
    assert commands.restore_version(place.settings(), str(first.dataset_version)) == 0
    assert run_pipeline(place.settings()) == 0
    assert place.ids() == later
    assert place.versions()[0].dataset_version == newest.dataset_version


def test_a_fresh_clone_gets_its_data_back_before_a_version_could_be_smaller(place: Place, tmp_path: Path) -> None:
    fresh = _fresh(place, tmp_path)
    said: list[str] = []
    back = settle(fresh.repository, fresh.root / "data", said.append)
    assert back == [f"data/raw/{SAMPLE_APP}", f"data/validated/{SAMPLE_APP}"]
    assert fresh.ids() == place.ids()
    assert fresh.ids("validated") == place.ids("validated")
    assert (fresh.root / "data/raw/erased.json").read_bytes() == (place.root / "data/raw/erased.json").read_bytes()
    assert said
    assert settle(fresh.repository, fresh.root / "data") == []
    trained_on = str(place.versions()[0].models_dataset_version)
    assert keep_profile_of(fresh.repository, fresh.settings().profile(trained_on), trained_on)


def test_a_month_that_is_gone_from_the_store_is_a_loss(place: Place, tmp_path: Path) -> None:
    fresh = _fresh(place, tmp_path)
    settle(fresh.repository, fresh.root / "data")
    for part in ("raw", "validated"):
        next((fresh.root / "data" / part / SAMPLE_APP).glob("*.parquet")).unlink()
    given = Evidence(fresh.settings(), outside.build(fresh.settings())["review_source"], fresh.repository)
    claim = no_review_is_lost(given.before, given.now, given.raw)
    assert not claim.passed
    assert "lost without a record" in claim.reason


def test_a_fresh_clone_that_cannot_reach_the_data_says_so_and_starts_anew(place: Place, tmp_path: Path) -> None:
    fresh, said = _fresh(place, tmp_path), list[str]()
    shutil.rmtree(tmp_path / "remote")
    store = place.root.parent / "remote"  # the branch names it, so it is looked at too
    store.rename(store.with_name("aside"))
    try:
        assert settle(fresh.repository, fresh.root / "data", said.append) == []
        given = Evidence(fresh.settings(), outside.build(fresh.settings())["review_source"], fresh.repository)
        before, anew = given.before, given.anew
    finally:
        store.with_name("aside").rename(store)
    assert said[0].startswith("this clone starts anew: neither cache nor remote (")
    assert (
        f"holds data/raw of version {place.versions()[0].commit[:12]} on branch pipeline; it is in {store}" in said[0]
    )
    assert (before, anew) == ({}, said[0])
    assert not (fresh.root / "data").exists()


def _fresh(place: Place, folder: Path) -> Place:
    """What a colleague has after `git clone`, with the shared remote."""
    shutil.copytree(place.root.parent / "remote", folder / "remote")
    git(folder, "clone", "--quiet", str(place.root), "fresh")
    return Place(folder / "fresh")


def _version(place: Place, kind: str) -> str:
    return model_version(place.root / "models" / kind)
