"""Versions are listed, come back whole, and are pruned only when nothing reaches them."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets.failures import Failure, rerun_may_help
from mlops_assets.params.operations import RetentionRules
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.steps.restore import restore
from mlops_assets.versioning.checkout import KEPT, finish_exchanges
from mlops_assets.versioning.retention import prune_versions
from mlops_assets.versioning.versions import UnknownVersion, find_version, list_versions
from tests.user_clone import APP, QUICK_DVC, UserClone

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def user(tmp_path: Path) -> UserClone:
    """Two versions of data, two of models; the second ones lie in the checkout."""
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    user.version_data(user.repository(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)))
    user.version_models("first", 0.7, user.repository(now=lambda: datetime(2026, 1, 2, tzinfo=UTC)))
    user.month("2026-02", b"february, corrected")
    user.month("2026-03", b"march")
    shutil.copytree(user.root / "data" / "raw", user.root / "data" / "validated")
    user.version_data(user.repository(now=lambda: datetime(2026, 3, 1, tzinfo=UTC)), run_id="run-2")
    user.version_models("second", 0.8, user.repository(now=lambda: datetime(2026, 3, 2, tzinfo=UTC)), run_id="run-2")
    return user


def _months(user: UserClone) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (user.root / "data" / "raw" / APP).glob("*.parquet")}


def test_versions_are_listed_with_what_they_hold(user: UserClone) -> None:
    versions = list_versions(user.repository().clone.user.git)
    assert [version.run_id for version in versions] == ["run-2", "run-2", "run-1", "run-1"]
    newest, oldest = versions[0], versions[-1]
    assert newest.rows == {APP: 3}
    assert newest.labels == {"negative": 1, "positive": 1}
    assert newest.at == datetime(2026, 3, 2, tzinfo=UTC)
    assert oldest.models == {}
    assert set(newest.objects) == {"data/raw", "data/validated", "models/bert", "models/classic"}
    live = list_versions(user.repository().clone.user.git, versions[2].models["bert"])
    assert [version.live for version in live] == [False, False, True, False]
    assert live[2].row()["live"] == "live"
    assert f"bert {live[2].models['bert']} (macro-F1 0.700, n = 10)" in live[2].row()["models"]
    assert find_version(versions, newest.commit[:9]) == newest
    assert find_version(versions, versions[2].models["classic"]) == versions[2]
    assert find_version(versions, oldest.dataset_version or "").dataset_version == oldest.dataset_version
    with pytest.raises(UnknownVersion, match="VERSION=ffffffffffff names 0 versions"):
        find_version(versions, "f" * 12)


def test_a_version_comes_back_and_what_was_newer_is_kept(user: UserClone) -> None:
    versions = list_versions(user.repository().clone.user.git)
    newer = _months(user)
    other = user.write("data/raw/other.app/2026-01.parquet", "another app")
    done = restore(user.repository(), versions[2].models["bert"])
    assert _months(user) == {"2026-01": b"january", "2026-02": b"february"}
    assert (user.root / "models/bert/weights.bin").read_text() == "bert first"
    assert '"accuracy": 0.7' in (user.root / "models/metrics.json").read_text()
    assert other.read_text() == "another app"
    assert done.kept is not None
    assert {path.stem: path.read_bytes() for path in (done.kept / "data/raw" / APP).iterdir()} == newer
    assert (done.kept / "models/bert/weights.bin").read_text() == "bert second"
    assert user.git("rev-parse", "pipeline") == versions[0].commit
    again = restore(user.repository(), versions[2].models["bert"])
    assert (again.changed, again.kept) == ((), None)


def test_a_version_comes_back_from_the_remote_alone(user: UserClone) -> None:
    shutil.rmtree(user.clone)
    versions = list_versions(user.repository().clone.user.git)
    restore(user.repository(), versions[2].commit)
    assert (user.root / "models/classic/weights.bin").read_text() == "classic first"
    assert user.repository().prepare() == versions[0].commit


def test_a_version_that_nobody_holds_changes_nothing(user: UserClone) -> None:
    versions = list_versions(user.repository().clone.user.git)
    shutil.rmtree(user.clone)
    shutil.rmtree(user.root / ".dvc-remote")
    before = user.all_but_the_branch()
    with pytest.raises(Failure) as raised:
        restore(user.repository(), versions[2].commit)
    assert not rerun_may_help(raised.value)
    assert user.all_but_the_branch() == before


def test_killed_half_way_nothing_is_lost_and_the_next_call_ends_it(user: UserClone) -> None:
    """In-process: raising at a phase leaves the same files as a kill there, since every step is a rename."""
    versions = list_versions(user.repository().clone.user.git)
    phases: list[str] = []
    restore(user.repository(), versions[2].commit, at_phase=phases.append)
    restore(user.repository(), versions[0].commit)
    newer = _months(user)
    assert len(phases) > 8
    for stop_at in phases:

        def at_phase(phase: str, stop_at: str = stop_at) -> None:
            if phase == stop_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            restore(user.repository(), versions[2].commit, at_phase=at_phase)
        finish_exchanges(user.root)
        planned = stop_at != "new content complete"
        assert _months(user) == ({"2026-01": b"january", "2026-02": b"february"} if planned else newer), stop_at
        assert not list((user.root / KEPT).glob("*/plan.json"))
        assert not list((user.root / KEPT).glob("*/new"))
        restore(user.repository(), versions[0].commit)
        assert _months(user) == newer, stop_at


def test_pruning_reports_then_removes_what_nothing_reaches(user: UserClone) -> None:
    versions = list_versions(user.repository().clone.user.git)
    said: list[str] = []
    later = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=40)

    def prune(now: datetime, *, dry_run: bool = False, deployed: tuple[str, ...] = ()) -> tuple[str, ...]:
        rules = RetentionRules()
        options = {"now": now, "rules": rules, "deployed": deployed, "report": said.append, "dry_run": dry_run}
        return prune_versions(user.repository(), **options).remote

    planned = prune(later, dry_run=True)
    assert planned
    assert any("data/raw of" in line for line in said)
    assert user.remote_holds_what_the_tip_names()
    restore(user.repository(), versions[2].commit)
    restore(user.repository(), versions[0].commit)

    user.git("tag", "v1", versions[3].commit)
    assert prune(later, dry_run=True) == ()
    user.git("tag", "-d", "v1")

    assert prune(later) == planned
    assert prune(later) == ()
    assert user.remote_holds_the_tip()
    with pytest.raises(Failure) as raised:
        restore(user.repository(), versions[3].commit)
    assert not rerun_may_help(raised.value)

    much_later = later + timedelta(days=100)
    assert prune(much_later, dry_run=True, deployed=(versions[0].models["bert"], versions[2].models["bert"])) == ()
    assert prune(much_later)
    assert user.remote_holds_the_tip()


def test_labels_come_back_as_they_were_and_newer_ones_are_kept_and_erased_ones_stay_gone(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    table, now = LabelTable(user.root / "data" / "labels"), datetime(2026, 3, 1, tzinfo=UTC)

    def version() -> str:
        repository = user.repository()
        repository.prepare()
        repository.stage_data(user.months, user.months, {"data/labels": table.files()})
        return repository.commit_data("run", "labels").commit

    plain = user.version_data().commit
    table.add("a", "positive", "Ani", now=now)
    table.add("b", "positive", "Ani", now=now)
    first = version()
    table.add("c", "negative", "Ani", now=now)
    version()
    table.erase({"b"})
    done = restore(user.repository(), first)
    assert [each.text for each in table.given()] == ["a"]
    assert done.kept is not None
    assert [each.text for each in LabelTable(done.kept / "data" / "labels").given()] == ["a", "c"]
    assert "data/labels" not in restore(user.repository(), plain).changed
    assert [each.text for each in table.given()] == ["a"]
