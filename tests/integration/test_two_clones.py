"""Two clones of one origin, each with reviews of its own: with a shared remote and without, in both orders.

Git is real, and so are the assets up to the version. DVC is the quick program, but where a colleague pulls.
"""

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.run_summary import summary_of
from mlops_assets.cli import data as commands
from mlops_assets.definitions import build_definitions
from mlops_assets.failures import PermanentFailure
from mlops_assets.outside import build
from mlops_assets.params.operations import RetentionRules
from mlops_assets.reporting.run_summary import CheckResult, RunSummary
from mlops_assets.reporting.summary_pages import as_markdown
from mlops_assets.reviews.quality.validate import validate_months
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from mlops_assets.steps.restore import restore, settle
from mlops_assets.steps.version import commit_version
from mlops_assets.versioning.git.pipeline_commit import parse_trailers
from mlops_assets.versioning.retention import prune_versions
from mlops_assets.versioning.version_writer import DataVersion
from tests.fakes.service import fake_service
from tests.user_clone import QUICK_DVC, REAL_DVC, git, make_clone, settings_of, sh

APP, NOW = "com.valar.pintu", "2026-04-15T00:00:00Z"
_LATER = datetime(2026, 4, 16, tzinfo=UTC)
DATA = ["raw_reviews", "validated_reviews", "versioned_dataset"]


pytestmark = pytest.mark.usefixtures("home")


@dataclass
class Clone:
    """One person's clone of `origin.git`, and the last run's summary."""

    root: Path
    dvc: Path = QUICK_DVC
    summary: RunSummary | None = None
    said: list[str] = field(default_factory=list)

    def settings(self, **environ: str) -> Settings:
        return settings_of(self.root, **{"NOW": NOW, "DVC_PROGRAM": str(self.dvc), **environ})

    def given(self, name: str, remote: Path | None, **environ: str) -> Settings:
        """The settings of a run on a file with ten reviews `<name>-0` …, unless another source is named."""
        given = {"DVC_REMOTE_URL": str(remote)} if remote else {}
        if "SOURCE" not in environ:
            given["REVIEWS"] = str(_file(self.root.parent / f"{name}.csv", name))
        return self.settings(**given, **environ)

    def run(self, name: str, *, remote: Path | None = None, **environ: str) -> DataVersion:
        """Collect, validate and version, as the three assets do."""
        settings = self.given(name, remote, **environ)
        things = build(settings)
        source, repository, store = things["review_source"], things["repository"], ReviewStore(settings.data / "raw")
        settle(repository, settings.data, self.said.append, shares=source.name != "sample")
        source.collect(store, {app: ["2026-03"] for app in source.apps()}, self.said.append)
        for app in store.apps():
            validate_months(settings.data, app, store.months(app))
        return commit_version(settings, source, repository, "run")[0]

    def run_assets(self, name: str, *, remote: Path | None = None, **environ: str) -> str:
        """The same as a run of Dagster, with the checks; its Markdown summary."""
        settings = self.given(name, remote, **environ)
        definitions = build_definitions(
            settings, {"service": fake_service(settings.service_folder)}, loggers={"console": _silent}
        )
        with dg.DagsterInstance.ephemeral() as instance:
            done = definitions.resolve_job_def("pipeline").execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(asset) for asset in DATA],
                tags=range_tags(settings, [APP], "2026-03", "2026-03"),
                run_config={"loggers": {"console": {}}},
                raise_on_error=False,
            )
            self.summary = summary_of(instance, done.run_id, settings, None)
        assert done.success, as_markdown(self.summary)
        return as_markdown(self.summary)

    def ids(self, part: str = "validated") -> set[str]:
        """The reviews of the version in the private clone."""
        files = sorted((self.root / ".pipeline" / "data" / part).rglob("*.parquet"))
        return {str(one) for path in files for one in pd.read_parquet(path, columns=["review_id"])["review_id"]}

    def check(self, name: str) -> CheckResult:
        assert self.summary is not None
        return next(row for row in self.summary.checks if row.check == name)

    def tip(self) -> str:
        return git(self.root, "rev-parse", "pipeline")

    def trailers(self) -> dict[str, str]:
        return parse_trailers(git(self.root, "log", "-1", "--format=%B", "pipeline"))


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Clone, Clone]:
    """Two clones that were made before either ran."""
    make_clone(tmp_path / "seed")
    sh(tmp_path, "git", "clone", "-q", "--bare", "seed", "origin.git")
    return _clone(tmp_path, "one"), _clone(tmp_path, "two")


def _clone(folder: Path, name: str) -> Clone:
    sh(folder, "git", "clone", "-q", "origin.git", name)
    return Clone(folder / name)


def _file(path: Path, name: str) -> Path:
    rows = [
        f"{name}-{n},{'mantap' if n % 3 else 'gagal'} {name} {n},{5 if n % 3 else 1},2026-03-1{n}" for n in range(10)
    ]
    path.write_text("\n".join(["review_id,review_text,rating,review_date", *rows]) + "\n", encoding="utf-8")
    return path


def _ids(*names: str) -> set[str]:
    return {f"{name}-{n}" for name in names for n in range(10)}


def _at_origin(folder: Path) -> str:
    return sh(
        folder, "git", "--git-dir=origin.git", "rev-parse", "--verify", "-q", "refs/heads/pipeline", check=False
    ).strip()


@dg.logger(description="says nothing")
def _silent(_: Any) -> Any:
    return logging.getLogger("silent")


def _pulled(folder: Path, name: str) -> set[str]:
    """What a colleague has after three plain commands."""
    sh(folder, "git", "clone", "-q", "origin.git", name)
    sh(folder / name, "git", "checkout", "-q", "pipeline")
    sh(folder / name, str(REAL_DVC), "pull", "-q")
    files = sorted((folder / name / "data" / "validated").rglob("*.parquet"))
    return {str(one) for path in files for one in pd.read_parquet(path, columns=["review_id"])["review_id"]}


def test_without_a_shared_remote_no_clone_disturbs_another(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    for one in clones:
        said = one.run_assets(one.root.name)
        assert "The branch pipeline is kept here: the DVC remote" in said
        assert "set DVC_REMOTE_URL to s3://" in said
        assert "Warning" not in said
        assert _at_origin(tmp_path) == ""
    later = _clone(tmp_path, "later")
    later.run("later")
    for one in (*clones, later):
        before = one.tip()
        one.run(one.root.name)
        assert (one.tip(), one.ids()) == (before, _ids(one.root.name))
    assert _at_origin(tmp_path) == ""


def test_with_a_shared_remote_each_takes_over_what_the_other_versioned(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, (one, two) = tmp_path / "store", clones
    assert one.run("one", remote=store).origin == "pushed"
    first = _at_origin(tmp_path)
    assert two.run("two", remote=store).anew is None  # cloned before the first version
    assert two.ids() == _ids("one", "two")
    assert git(two.root, "rev-parse", "pipeline~1") == first
    assert two.tip() == _at_origin(tmp_path)

    one.run("more", remote=store)
    assert "com.valar.pintu/2026-03.parquet: 10 new, 0 changed reviews of another clone's version" in one.said
    assert one.ids() == _ids("one", "two", "more")
    assert git(one.root, "rev-parse", "pipeline~1") == two.tip()

    third = _clone(tmp_path, "third")
    third.run("third")  # names no remote: the branch names one
    assert third.ids() == _ids("one", "two", "more", "third")
    assert not (third.root / ".dvc-remote").exists()
    assert third.tip() == _at_origin(tmp_path)
    assert _pulled(tmp_path, "colleague") == third.ids()


def test_a_clone_that_shares_later_joins_its_own_line_to_that_of_origin(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, (one, two) = tmp_path / "store", clones
    two.run("two")
    alone = two.tip()
    one.run("one", remote=store)
    shared = _at_origin(tmp_path)
    told: list[str] = []
    repository = build(two.given("more", store))["repository"]
    pruned = prune_versions(repository, now=_LATER, rules=RetentionRules(), deployed=(), report=told.append)
    own = {
        name for version in repository.newest_versions() if version.commit == alone for name in version.objects.values()
    }
    assert own
    assert own <= set(pruned.plan.keep) | set(pruned.plan.drop)
    two.run("more", remote=store)
    assert two.ids() == _ids("one", "two", "more")
    assert git(two.root, "log", "-1", "--format=%P", "pipeline").split()[:2] == [shared, alone]
    assert two.tip() == _at_origin(tmp_path)
    assert alone in {version.commit for version in build(two.settings())["repository"].versions()}
    rows = {version.commit: version.row() for version in build(one.settings())["repository"].versions()}
    assert alone not in rows  # not fetched yet
    one.run("one", remote=store)
    rows = {version.commit: version.row() for version in build(one.settings())["repository"].versions()}
    assert rows[alone]["not here"] == ""  # it lies in a folder that this machine reaches


def _pushed_by_the_last_version(one: Clone) -> str:
    """Origin as version 1.6 left it: the branch is there, and its data in a folder inside the clone."""
    one.run("one")
    git(one.root, "push", "-q", "origin", "pipeline")
    return one.tip()


def test_data_in_another_clone_of_this_machine_is_taken_over(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    published = _pushed_by_the_last_version(clones[0])
    two = _clone(tmp_path, "after")
    kept = sorted(path for path in (clones[0].root / ".dvc-remote").rglob("*"))
    assert two.run("two").origin.startswith("kept here: ")
    assert two.ids() == _ids("one", "two")
    assert git(two.root, "rev-parse", "pipeline~1") == published
    assert _at_origin(tmp_path) == published
    assert sorted(path for path in (clones[0].root / ".dvc-remote").rglob("*")) == kept
    two.run("two")
    assert two.ids() == _ids("one", "two")


def test_data_on_another_machine_makes_a_clone_start_anew_on_top_of_what_was_published(
    clones: tuple[Clone, Clone], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, published = clones[0], _pushed_by_the_last_version(clones[0])
    one.root.rename(tmp_path / "other-machine")
    two = _clone(tmp_path, "after")
    said = two.run_assets("two")
    assert two.ids() == _ids("two")
    assert (
        f"New start: this clone starts anew: neither cache nor remote ({two.root}/.dvc-remote) holds data/raw" in said
    )
    assert f"in another clone ({one.root}/.dvc-remote)" in said
    assert published[:12] in two.trailers()["Starts-Anew"]
    judged = two.check("no_review_is_lost")
    assert judged.passed
    assert "starts anew" in judged.reason
    assert git(two.root, "rev-parse", "pipeline~1") == published
    assert _at_origin(tmp_path) == published

    again = two.run("two")
    assert (again.anew, again.changed) == (None, False)
    assert commands.show_versions(two.settings()) == 0
    assert f"in another clone ({one.root}/.dvc-remote)" in capsys.readouterr().out
    repository = build(two.settings())["repository"]
    with pytest.raises(PermanentFailure, match=rf"it lies in another clone \({one.root}/\.dvc-remote\)"):
        restore(repository, published)
    told: list[str] = []
    prune_versions(repository, now=_LATER, rules=RetentionRules(), deployed=(), report=told.append)
    assert f"so nothing of them is removed: 1 in another clone ({one.root}/.dvc-remote)" in told[0]

    assert two.run("more", remote=tmp_path / "store").origin == "pushed"
    assert _at_origin(tmp_path) == two.tip()
    assert git(two.root, "merge-base", "--is-ancestor", published, "pipeline") == ""
    assert _pulled(tmp_path, "colleague") == _ids("two", "more")

    back = Clone(tmp_path / "other-machine")
    back.run("one", remote=tmp_path / "store")
    assert back.ids() == _ids("one", "two", "more")
    assert back.tip() == _at_origin(tmp_path)


def test_a_version_at_origin_that_nobody_here_can_get_is_compared_with_the_own_one(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, (one, two) = tmp_path / "store", clones
    one.run("one", remote=store)
    own = one.tip()
    git(two.root, "fetch", "-q", "origin")
    two.run("two", remote=two.root / ".dvc-remote")
    git(two.root, "push", "-q", "origin", "pipeline")  # as the last version did, whatever the remote
    published = two.tip()
    two.root.rename(tmp_path / "other-machine")
    done = one.run("more", remote=store)
    assert f"version {published[:12]} on branch pipeline; it is in another clone" in str(done.anew)
    assert one.ids() == _ids("one", "more")
    assert git(one.root, "log", "-1", "--format=%P", "pipeline").split()[0] == published
    assert (_at_origin(tmp_path), one.run("more", remote=store).anew) == (one.tip(), None)
    assert own in git(one.root, "rev-list", "pipeline").split()


def test_generated_reviews_are_never_pushed(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    store, (one, two) = tmp_path / "store", clones
    assert one.run("", remote=store, SOURCE="sample").origin == (
        "kept here: versions of generated reviews are not shared"
    )
    assert _at_origin(tmp_path) == ""
    two.run("two", remote=store)
    shared = _at_origin(tmp_path)
    one.run("", remote=store, SOURCE="sample")
    assert _at_origin(tmp_path) == shared
    one.run("one", remote=store)
    assert one.ids() == _ids("one", "two")
    assert one.tip() == _at_origin(tmp_path)
    assert json.loads(one.trailers()["Data-Summary"])["source"] == "file"
    assert _pulled(tmp_path, "colleague") == one.ids()


@pytest.mark.parametrize("came_by", ["fetch", "push"])
def test_a_version_of_a_colleague_that_came_into_the_own_branch_is_taken_over(
    came_by: str, clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    """The colleague's versions were looked at with plain git, or the colleague's clone is a clone of this one."""
    store, (one, two) = tmp_path / "store", clones
    one.run("one", remote=store)
    if came_by == "push":
        git(two.root, "remote", "set-url", "origin", str(one.root))
    two.run("two", remote=store)
    if came_by == "fetch":
        git(one.root, "fetch", "-q", "origin", "pipeline:pipeline")
    assert one.tip() == two.tip()

    done = one.run("more", remote=store)
    assert (done.anew, done.origin) == (None, "pushed")
    assert one.ids() == _ids("one", "two", "more")


def test_a_branch_that_was_deleted_or_set_back_at_origin_is_pushed_again(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, one = tmp_path / "store", clones[0]
    one.run("one", remote=store)
    for change in (["refs/heads/pipeline", one.tip() + "~1"], ["-d", "refs/heads/pipeline"]):
        git(tmp_path / "origin.git", "update-ref", *change)
        assert one.run("one", remote=store).origin == "pushed"
        assert _at_origin(tmp_path) == one.tip()


def test_an_origin_that_is_down_is_said_and_the_run_goes_on(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    store, (one, _) = tmp_path / "store", clones
    one.run("one", remote=store)
    (tmp_path / "origin.git").rename(tmp_path / "down.git")
    assert one.run("more", remote=store).origin.startswith("not pushed: ")
    assert "origin was not asked for newer versions, this run goes on from those known here" in " ".join(one.said)
    assert one.ids() == _ids("one", "more")
    (tmp_path / "down.git").rename(tmp_path / "origin.git")
    one.run("more", remote=store)
    assert one.tip() == _at_origin(tmp_path)
