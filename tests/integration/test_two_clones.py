"""Two clones of one origin, each with reviews of its own: with a shared remote and without, in both orders.

Git is real, and so are the assets up to the version. DVC is the quick program, but where a colleague pulls.
"""

import json
from pathlib import Path

import pytest

from mlops_assets.cli import data as commands
from mlops_assets.failures import PermanentFailure
from mlops_assets.outside import build
from mlops_assets.params.operations import RetentionRules
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.steps.restore import restore
from mlops_assets.text import text_digest
from mlops_assets.versioning.retention import prune_versions
from tests.integration.sharing_clones import (
    LATER,
    Clone,
    clone_of_origin,
    ids_of,
    pulled,
    tip_at_origin,
)
from tests.user_clone import git, make_clone, sh

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Clone, Clone]:
    """Two clones that were made before either ran."""
    make_clone(tmp_path / "seed")
    sh(tmp_path, "git", "clone", "-q", "--bare", "seed", "origin.git")
    return clone_of_origin(tmp_path, "one"), clone_of_origin(tmp_path, "two")


def test_without_a_shared_remote_no_clone_disturbs_another(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    for one in clones:
        said = one.run_assets(one.root.name)
        assert "The branch pipeline is kept here: the DVC remote" in said
        assert "set DVC_REMOTE_URL to `s3://" in said
        assert "Warning" not in said
        assert tip_at_origin(tmp_path) == ""
    later = clone_of_origin(tmp_path, "later")
    later.run("later")
    for one in (*clones, later):
        before = one.tip()
        one.run(one.root.name)
        assert (one.tip(), one.ids()) == (before, ids_of(one.root.name))
    assert tip_at_origin(tmp_path) == ""


def test_with_a_shared_remote_each_takes_over_what_the_other_versioned(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, (one, two) = tmp_path / "store", clones
    assert one.run("one", remote=store).origin == "pushed"
    first = tip_at_origin(tmp_path)
    assert two.run("two", remote=store).anew is None  # cloned before the first version
    assert two.ids() == ids_of("one", "two")
    assert git(two.root, "rev-parse", "pipeline~1") == first
    assert two.tip() == tip_at_origin(tmp_path)

    one.run("more", remote=store)
    assert "com.valar.pintu/2026-03.parquet: 10 new, 0 changed reviews of another clone's version" in one.said
    assert one.ids() == ids_of("one", "two", "more")
    assert git(one.root, "rev-parse", "pipeline~1") == two.tip()

    third = clone_of_origin(tmp_path, "third")
    third.run("third")  # names no remote: the branch names one
    assert third.ids() == ids_of("one", "two", "more", "third")
    assert not (third.root / ".dvc-remote").exists()
    assert third.tip() == tip_at_origin(tmp_path)
    assert pulled(tmp_path, "colleague") == third.ids()


def test_a_clone_that_shares_later_joins_its_own_line_to_that_of_origin(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, (one, two) = tmp_path / "store", clones
    two.run("two")
    alone = two.tip()
    one.run("one", remote=store)
    shared = tip_at_origin(tmp_path)
    told: list[str] = []
    repository = build(two.given("more", store))["repository"]
    pruned = prune_versions(repository, now=LATER, rules=RetentionRules(), deployed=(), report=told.append)
    own = {
        name for version in repository.newest_versions() if version.commit == alone for name in version.objects.values()
    }
    assert own
    assert own <= set(pruned.plan.keep) | set(pruned.plan.drop)
    two.run("more", remote=store)
    assert two.ids() == ids_of("one", "two", "more")
    assert git(two.root, "log", "-1", "--format=%P", "pipeline").split()[:2] == [shared, alone]
    assert two.tip() == tip_at_origin(tmp_path)
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
    two = clone_of_origin(tmp_path, "after")
    kept = sorted(path for path in (clones[0].root / ".dvc-remote").rglob("*"))
    assert two.run("two").origin.startswith("kept here: ")
    assert two.ids() == ids_of("one", "two")
    assert git(two.root, "rev-parse", "pipeline~1") == published
    assert tip_at_origin(tmp_path) == published
    assert sorted(path for path in (clones[0].root / ".dvc-remote").rglob("*")) == kept
    two.run("two")
    assert two.ids() == ids_of("one", "two")


def test_data_on_another_machine_makes_a_clone_start_anew_on_top_of_what_was_published(
    clones: tuple[Clone, Clone], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, published = clones[0], _pushed_by_the_last_version(clones[0])
    one.root.rename(tmp_path / "other-machine")
    two = clone_of_origin(tmp_path, "after")
    said = two.run_assets("two")
    assert two.ids() == ids_of("two")
    assert (
        f"New start: this clone starts anew: neither cache nor remote ({two.root}/.dvc-remote) holds data/raw" in said
    )
    assert f"in another clone ({one.root}/.dvc-remote)" in said
    assert published[:12] in two.trailers()["Starts-Anew"]
    judged = two.check("no_review_is_lost")
    assert judged.passed
    assert "starts anew" in judged.reason
    assert git(two.root, "rev-parse", "pipeline~1") == published
    assert tip_at_origin(tmp_path) == published

    again = two.run("two")
    assert (again.anew, again.changed) == (None, False)
    assert commands.show_versions(two.settings()) == 0
    assert f"in another clone ({one.root}/.dvc-remote)" in capsys.readouterr().out
    repository = build(two.settings())["repository"]
    with pytest.raises(PermanentFailure, match=rf"it lies in another clone \({one.root}/\.dvc-remote\)"):
        restore(repository, published)
    told: list[str] = []
    prune_versions(repository, now=LATER, rules=RetentionRules(), deployed=(), report=told.append)
    assert f"so nothing of them is removed: 1 in another clone ({one.root}/.dvc-remote)" in told[0]

    assert two.run("more", remote=tmp_path / "store").origin == "pushed"
    assert tip_at_origin(tmp_path) == two.tip()
    assert git(two.root, "merge-base", "--is-ancestor", published, "pipeline") == ""
    assert pulled(tmp_path, "colleague") == ids_of("two", "more")

    back = Clone(tmp_path / "other-machine")
    back.run("one", remote=tmp_path / "store")
    assert back.ids() == ids_of("one", "two", "more")
    assert back.tip() == tip_at_origin(tmp_path)


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
    assert one.ids() == ids_of("one", "more")
    assert git(one.root, "log", "-1", "--format=%P", "pipeline").split()[0] == published
    assert (tip_at_origin(tmp_path), one.run("more", remote=store).anew) == (one.tip(), None)
    assert own in git(one.root, "rev-list", "pipeline").split()


def test_generated_reviews_are_never_pushed(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    store, (one, two) = tmp_path / "store", clones
    assert one.run("", remote=store, SOURCE="sample").origin == (
        "kept here: versions of generated reviews are not shared"
    )
    assert tip_at_origin(tmp_path) == ""
    two.run("two", remote=store)
    shared = tip_at_origin(tmp_path)
    one.run("", remote=store, SOURCE="sample")
    assert tip_at_origin(tmp_path) == shared
    one.run("one", remote=store)
    assert one.ids() == ids_of("one", "two")
    assert one.tip() == tip_at_origin(tmp_path)
    assert json.loads(one.trailers()["Data-Summary"])["source"] == "file"
    assert pulled(tmp_path, "colleague") == one.ids()


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
    assert one.ids() == ids_of("one", "two", "more")


def test_a_branch_that_was_deleted_or_set_back_at_origin_is_pushed_again(
    clones: tuple[Clone, Clone], tmp_path: Path
) -> None:
    store, one = tmp_path / "store", clones[0]
    one.run("one", remote=store)
    for change in (["refs/heads/pipeline", one.tip() + "~1"], ["-d", "refs/heads/pipeline"]):
        git(tmp_path / "origin.git", "update-ref", *change)
        assert one.run("one", remote=store).origin == "pushed"
        assert tip_at_origin(tmp_path) == one.tip()


def test_an_origin_that_is_down_is_said_and_the_run_goes_on(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    store, (one, _) = tmp_path / "store", clones
    one.run("one", remote=store)
    (tmp_path / "origin.git").rename(tmp_path / "down.git")
    assert one.run("more", remote=store).origin.startswith("not pushed: ")
    assert "origin was not asked for newer versions, this run goes on from those known here" in " ".join(one.said)
    assert one.ids() == ids_of("one", "more")
    (tmp_path / "down.git").rename(tmp_path / "origin.git")
    one.run("more", remote=store)
    assert one.tip() == tip_at_origin(tmp_path)


def test_labels_of_two_people_at_once_merge(clones: tuple[Clone, Clone], tmp_path: Path) -> None:
    store, (one, two) = tmp_path / "store", clones
    one.run("one", remote=store)
    for clone, person, answer in ((one, "Ani", "positive"), (two, "Budi", "negative")):
        table = LabelTable(clone.root / "data" / "labels")
        table.add(text_digest("mantap one 1"), answer, person, now=LATER)
        table.add(text_digest(f"mantap {person}"), answer, person, now=LATER)
    one.run("one", remote=store)
    two.run("two", remote=store)
    assert "2 labels of people came from another version; all agree on 0 of 1 texts that several people labelled" in (
        two.said
    )
    one.run("one", remote=store)
    tables = [LabelTable(clone.root / "data" / "labels").path.read_text() for clone in clones]
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 4
    fresh = clone_of_origin(tmp_path, "fresh")
    fresh.run("fresh", remote=store)
    assert LabelTable(fresh.root / "data" / "labels").path.read_text() == tables[0]
