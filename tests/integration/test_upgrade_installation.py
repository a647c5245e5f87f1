"""An installation of version 0.1.0 goes on under this one: its reviews, versions, history and models stay."""

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets import outside
from mlops_assets.cli.data import import_file
from mlops_assets.cli.run import run_pipeline
from mlops_assets.settings import Settings
from tests.integration.older_storage.make_installation import APP, NAMES, NOW
from tests.user_clone import DVC_ENVIRONMENT, free_port, git, settings_of

OLDER = Path(__file__).parent / "older_storage" / "installation-0.1.0.tar.xz"
WRITTEN = ["review_text", "rating", "review_date"]


@dataclass(frozen=True)
class Installation:
    """The older version's clone in a folder of another name, what it held, and how this version runs there."""

    clone: Path
    settings: Settings
    reviews: pd.DataFrame
    tip: str
    model: str
    runs: int


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """After the first `make run` of this version."""
    folder = tmp_path_factory.mktemp("upgraded")
    with tarfile.open(OLDER) as archive:
        archive.extractall(folder, filter="data")
    clone = folder / "clone"
    (clone / ".venv-dvc").symlink_to(DVC_ENVIRONMENT)
    settings = settings_of(
        clone,
        NOW=(NOW + timedelta(hours=6)).isoformat(),
        PORT=str(free_port()),
        REVIEWS=str(folder / "files" / "reviews.csv"),
        APP=APP,
    )
    champion = json.loads((clone / "models" / "champion.json").read_text(encoding="utf-8"))
    before = Installation(
        clone, settings, stored(clone), git(clone, "rev-parse", "pipeline"), champion["model_version"], runs_in(clone)
    )
    try:
        assert run_pipeline(settings) == 0
        yield before
    finally:
        outside.build(settings)["service"].stop()


def stored(clone: Path) -> pd.DataFrame:
    """Every stored review of the app."""
    files = sorted((clone / "data" / "raw" / APP).glob("*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def runs_in(clone: Path) -> int:
    with sqlite3.connect(clone / ".dagster" / "history" / "runs.db") as database:
        return database.execute("SELECT count(*) FROM runs").fetchone()[0]


def summary(clone: Path) -> dict:
    return json.loads((clone / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))


def test_every_review_is_there_as_it_was_written(installation: Installation) -> None:
    before = installation.reviews[WRITTEN].value_counts()
    after = stored(installation.clone)[WRITTEN].value_counts()
    assert before.sub(after, fill_value=0).loc[lambda missing: missing > 0].to_dict() == {}
    assert len(stored(installation.clone)) == len(installation.reviews)


def test_names_in_replies_are_masked_where_the_file_is_read_again(installation: Installation) -> None:
    named = [word for name in NAMES for word in name.split()]
    assert installation.reviews["reply_text"].str.contains("|".join(named)).any()
    for folder in ("raw", "validated"):
        replies = pd.concat(
            [pd.read_parquet(file) for file in (installation.clone / "data" / folder / APP).glob("*.parquet")]
        )["reply_text"].dropna()
        assert len(replies) == 120
        assert not replies.str.contains("|".join(named)).any()


def test_the_history_goes_on(installation: Installation) -> None:
    assert git(installation.clone, "merge-base", "pipeline", installation.tip) == installation.tip
    assert runs_in(installation.clone) > installation.runs
    assert len(list((installation.clone / ".dagster" / "summaries").glob("*.html"))) >= 2


def test_a_model_serves_and_nothing_is_trained_twice(installation: Installation) -> None:
    live = outside.build(installation.settings)["service"].live()
    assert live is not None
    assert run_pipeline(installation.settings) == 0
    again = outside.build(installation.settings)["service"].live()
    assert again is not None
    assert again.model_version == live.model_version
    assert summary(installation.clone)["outputs"]["models_trained"] is False


def test_rows_under_their_number_are_not_doubled(installation: Installation, capsys: pytest.CaptureFixture) -> None:
    files = installation.clone.parent / "files"
    count = len(stored(installation.clone))
    other = files / "other_numbered.csv"
    other.write_text(
        (files / "numbered.csv").read_text(encoding="utf-8").replace("menurut saya", "kata teman"), encoding="utf-8"
    )
    for path in (files / "numbered.csv", other):
        import_file(installation.settings, str(path))
    assert run_pipeline(installation.settings) == 0
    assert len(stored(installation.clone)) == count + 20
