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
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored import columns, privacy
from mlops_assets.settings import Settings
from mlops_assets.steps.collect import collect
from mlops_assets.steps.restore import restore
from mlops_assets.steps.validate import validate
from mlops_assets.steps.version import commit_version
from tests.integration.older_storage.make_installation import APP, NAMES, NOW
from tests.user_clone import DVC_ENVIRONMENT, QUICK_DVC, free_port, git, make_clone, settings_of

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


SHOP, NUMBER, MONTHS = "com.example.shop", "0812-0000-1111", ["2026-01", "2026-02"]


def version_of_a_run(clone: Path) -> str:
    """The data version after collecting, validating and versioning, in a process of its own as it were."""
    settings = settings_of(
        clone,
        NOW="2026-03-15T00:00:00Z",
        REVIEWS=str(clone.parent / "reviews.csv"),
        APP=SHOP,
        DVC_PROGRAM=str(QUICK_DVC),
    )
    things = outside.build(settings)
    source, repository, months = things["review_source"], things["repository"], {SHOP: MONTHS}
    collect(settings, source, repository, months, print)
    found = validate(settings, source, repository, months, print, collected=True)
    assert found.valid
    version, _ = commit_version(settings, source, repository, "run")
    return version.dataset_version


def texts_of(data: Path) -> list[str]:
    files = [path for part in ("raw", "validated", "quarantine") for path in (data / part).rglob("*.parquet")]
    return [text for path in files for text in columns.read_rows(path, ["review_text"])["review_text"].to_pylist()]


@pytest.mark.usefixtures("home")
def test_the_masks_make_one_version_and_a_restore_brings_no_number_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, rows = make_clone(tmp_path / "clone"), sample.generate(*MONTHS)
    rows = rows.assign(app_id=SHOP, review_text=rows["review_text"].where(rows.index % 10 > 0, f"hubungi {NUMBER}"))
    pd.DataFrame(rows[["review_id", "review_text", "rating", "review_date"]]).to_csv(
        tmp_path / "reviews.csv", index=False
    )
    with monkeypatch.context() as older:
        older.setattr(privacy, "mask", lambda text: text)
        before = version_of_a_run(clone)
    (clone / "data" / "raw" / ".masked.json").unlink()
    unmasked = [text for text in texts_of(clone / "data") if NUMBER in str(text)]
    assert len(unmasked) > 20

    after = version_of_a_run(clone)
    assert after != before
    masked = texts_of(clone / "data")
    assert not [text for text in masked if NUMBER in str(text)]
    assert masked.count("hubungi [phone]") == len(unmasked)
    assert version_of_a_run(clone) == after
    assert not list((clone / "data" / "raw").rglob("history/*"))

    repository = outside.build(settings_of(clone, DVC_PROGRAM=str(QUICK_DVC)))["repository"]
    restore(repository, before)
    assert not [text for text in texts_of(clone / "data") if NUMBER in str(text)]
