"""Reference apps from Google Play and from files to a data version: beside the apps, never among them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.cli.data import erase_reviews
from mlops_assets.outside import build
from mlops_assets.reviews.sources.references import statuses, unlisted_apps
from mlops_assets.reviews.stored.volumes import month_stamps
from mlops_assets.settings import Settings
from mlops_assets.steps.collect import collect
from mlops_assets.steps.prune import prune
from mlops_assets.steps.restore import restore
from mlops_assets.steps.validate import validate
from mlops_assets.steps.version import commit_version, reference_reviews
from mlops_assets.versioning.version_writer import DataVersion
from tests.fakes.play_store import FakePlayStore, Fault, reviews
from tests.fakes.play_wire import serve
from tests.fakes.service import fake_service
from tests.integration.sharing_clones import run_data_assets
from tests.review_reads import ReviewReads
from tests.user_clone import QUICK_DVC, git, make_clone, settings_of, sh, write_params

pytestmark = pytest.mark.usefixtures("home")

APP, GOJEK, DANA = "com.valar.pintu", "com.gojek.app", "id.dana"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FAST = {"requests_per_second": 1000, "retries": 1, "backoff_s": 0, "backoff_most_s": 0}


@dataclass
class Project:
    """A user's clone that collects from a store on loopback."""

    root: Path
    fake: FakePlayStore
    url: str
    said: list[str] = field(default_factory=list)

    def refer_to(self, *entries: str, most: int = 60) -> None:
        write_params(self.root, reference_apps=list(entries), reference={"reviews_per_app": most})

    def settings(self, **environ: str) -> Settings:
        given = {"SOURCE": "play_store", "PLAY_STORE_URL": self.url, "NOW": NOW.isoformat(), "AUTHOR_KEY": "key"}
        return settings_of(self.root, **{"DVC_PROGRAM": str(QUICK_DVC), **given, **environ})

    def run(self, **environ: str) -> DataVersion:
        """Collect, validate and version, as the three assets do."""
        settings = self.settings(**environ)
        things = build(settings)
        source, repository = things["review_source"], things["repository"]
        months = {app: ["2026-02", "2026-03"] for app in source.apps()}
        self.said.clear()
        collect(settings, source, repository, months, self.said.append)
        validate(settings, source, repository, months, self.said.append, collected=True)
        return commit_version(settings, source, repository, "run")[0]

    def held(self, folder: str = "data") -> dict[str, int]:
        """Rows of each app in the version, the reference apps' under their folder."""
        data = self.root / ".pipeline" / folder
        files = sorted(data.glob("validated/*/*.parquet")) + sorted(data.glob("reference/validated/*/*.parquet"))
        rows: dict[str, int] = {}
        for path in files:
            name = path.parent.relative_to(data).as_posix()
            rows[name] = rows.get(name, 0) + len(pd.read_parquet(path))
        return rows

    def summary(self) -> dict[str, Any]:
        message = git(self.root, "log", "-1", "--format=%(trailers:key=Data-Summary,valueonly)", "pipeline")
        return json.loads(message)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    fake = FakePlayStore(page_size=20)
    fake.add(APP, reviews(90, NOW, "p", timedelta(hours=3)))
    fake.add(GOJEK, reviews(400, NOW, "g", timedelta(hours=3)))
    with serve(fake) as wire:
        project = Project(make_clone(tmp_path / "clone", play_store=FAST), fake, wire.url)
        yield project


def file_of_reviews(path: Path, name: str, count: int = 30) -> Path:
    words = ["gagal", "mantap", "bagus"]
    rows = [f"{name}-{n},{words[n % 3]} {name} {n},{5 if n % 3 else 1},2026-02-{n % 27 + 1:02}" for n in range(count)]
    path.write_text("\n".join(["review_id,review_text,rating,review_date", *rows]) + "\n", encoding="utf-8")
    return path


def test_references_make_a_version_and_the_apps_stay_as_they_were(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = project.run()
    before = month_stamps(project.root / "data")
    file_of_reviews(project.root / "id.dana.csv", "d")
    project.refer_to(GOJEK, "id.dana.csv")
    project.fake.requests.clear()
    version = project.run()
    assert version.dataset_version != plain.dataset_version
    references = {f"reference/validated/{GOJEK}": 60, f"reference/validated/{DANA}": 30}
    assert project.held() == {f"validated/{APP}": 90, **references}
    assert len(project.fake.tokens(GOJEK)) == 3
    assert month_stamps(project.root / "data") == before
    assert project.summary()["rows"] == {APP: 90}
    assert project.summary()["references"] == {DANA: 30, GOJEK: 60}
    assert not (project.root / "data" / "raw" / GOJEK).exists()
    settings = project.settings()
    repository = build(settings)["repository"]
    learned = reference_reviews(settings, repository)
    assert {*learned["app_id"]} == {GOJEK, DANA}
    assert {*learned["side"]} == {"train"}
    assert "; references: com.gojek.app 60, id.dana 30" in repository.versions()[0].row()["rows"]
    # Nothing new: one page of the store, no commit, and no validated review of a reference app is read.
    project.fake.requests.clear()
    with monkeypatch.context() as patched:
        reads = ReviewReads(patched)
        again = project.run()
    assert not [path for path in reads.of_file if "/reference/validated/" in path]
    assert (again.commit, again.changed) == (version.commit, False)
    assert len(project.fake.tokens(GOJEK)) == 1
    # Without references the version has its old name, and nothing of them is in it.
    project.refer_to()
    assert project.run().dataset_version == plain.dataset_version
    assert project.held() == {f"validated/{APP}": 90}
    assert "data/reference" not in git(project.root, "ls-tree", "-r", "--name-only", "pipeline")
    settings = project.settings()
    things = build(settings)
    assert unlisted_apps(settings) == [GOJEK, DANA]
    done = prune(settings, things["repository"], fake_service(settings.service_folder), project.said.append)
    assert done.references == (GOJEK, DANA)
    assert not list((project.root / "data" / "reference").rglob("*.parquet"))


def test_a_store_that_fails_for_a_reference_stops_nothing_and_the_next_run_goes_on(project: Project) -> None:
    project.refer_to(GOJEK, most=100)
    project.fake.faults = [Fault(kind="429", at=3, times=1000, app_id=GOJEK)]
    summary, rows = run_data_assets(project.settings())
    torn = next(check for check in summary.checks if check.check == "reference_apps_are_complete")
    assert not torn.passed
    assert GOJEK in torn.reason
    assert project.held() == {f"validated/{APP}": 90, f"reference/validated/{GOJEK}": 40}
    assert rows == {f"{APP}|2026-03"}
    project.fake.faults = []
    project.run()
    assert [app.status for app in statuses(project.settings(), "play_store")] == ["whole"]
    assert project.held()[f"reference/validated/{GOJEK}"] == 100
    project.fake.faults = [Fault(kind="429", at=1, times=1000, app_id=GOJEK)]
    project.run()
    assert [app.status for app in statuses(project.settings(), "play_store")] == ["partial"]
    assert project.held()[f"reference/validated/{GOJEK}"] == 100


def test_erasing_reaches_references_and_a_later_crawl_brings_nothing_back(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of_reviews(project.root / "dana.csv", "d")
    project.refer_to(GOJEK, "dana.csv")
    project.run()
    erase_reviews(project.settings(), author="Orang g7", review="")
    assert f"data/reference/raw/{GOJEK}/2026-03.parquet: 1 rows removed" in capsys.readouterr().out
    erase_reviews(project.settings(), author="", review="d-3")
    said = capsys.readouterr().out
    assert "data/reference/validated/file.dana/2026-02.parquet: 1 rows removed" in said
    assert "dana.csv: 1 rows left in your own file, which no run takes in again: remove them there" in said
    assert path.read_text(encoding="utf-8").count("d-3,") == 1
    project.run()
    ids = {
        str(review)
        for name in ("data/reference", ".pipeline/data/reference", ".dagster/snapshot/reference")
        for found in (project.root / name).rglob("*.parquet")
        for review in pd.read_parquet(found, columns=["review_id"])["review_id"]
    }
    assert {"g6", "g8", "d-2", "d-4"} <= ids
    assert not ids & {"g7", "d-3"}


def test_a_restored_version_brings_its_references_back_and_the_next_run_makes_the_same_one(project: Project) -> None:
    path = file_of_reviews(project.root / "dana.csv", "d")
    project.refer_to("dana.csv")
    environ = {"SOURCE": "file", "REVIEWS": str(file_of_reviews(project.root / "own.csv", "own")), "APP": APP}
    first = project.run(**environ)
    file_of_reviews(path, "e")
    second = project.run(**environ)
    assert second.dataset_version != first.dataset_version
    assert project.held()["reference/validated/file.dana"] == 60
    repository = build(project.settings(**environ))["repository"]
    done = restore(repository, first.commit)
    assert {"data/reference/raw/file.dana", "data/reference/validated/file.dana"} <= {*done.changed}
    file_of_reviews(path, "d")
    assert project.run(**environ).dataset_version == first.dataset_version
    # A clone without the folder gets it back, too.
    shutil.rmtree(project.root / "data" / "reference")
    assert project.run(**environ).dataset_version == first.dataset_version
    assert "data/reference/raw/file.dana was absent here and came back from the newest version" in project.said


def test_killed_between_the_steps_the_next_run_ends_with_the_same_version(project: Project, tmp_path: Path) -> None:
    project.refer_to(GOJEK)
    whole = project.run()
    shutil.rmtree(project.root / "data" / "reference" / "validated")
    (project.root / "data" / "reference" / "raw" / GOJEK / "crawl.json").unlink()
    git(project.root, "update-ref", "-d", "refs/heads/pipeline")
    shutil.rmtree(project.root / ".pipeline")
    assert project.run().dataset_version == whole.dataset_version


def test_other_clones_pull_the_references_with_three_plain_commands(project: Project, tmp_path: Path) -> None:
    sh(tmp_path, "git", "init", "-q", "--bare", "origin.git")
    git(project.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(project.root, "push", "-q", "origin", "main")
    project.refer_to(GOJEK)
    git(project.root, "commit", "-qam", "refer")
    remote = {"DVC_REMOTE_URL": str(tmp_path / "remote"), "DVC_PROGRAM": str(project.root / ".venv-dvc/bin/dvc")}
    assert project.run(**remote).origin == "pushed"
    sh(tmp_path, "git", "clone", "-q", "origin.git", "theirs")
    sh(tmp_path / "theirs", "git", "checkout", "-q", "pipeline")
    sh(tmp_path / "theirs", str(project.root / ".venv-dvc/bin/dvc"), "pull", "-q")
    files = sorted((tmp_path / "theirs" / "data" / "reference" / "validated" / GOJEK).glob("*.parquet"))
    assert sum(len(pd.read_parquet(path)) for path in files) == 60
