"""The decision which model serves is stored with its version, once, wherever the process that takes it is killed."""

import dataclasses
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from mlops_assets import artifact
from mlops_assets.deploy.service import Live
from mlops_assets.params.operations import RetentionRules
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.split import Split
from mlops_assets.settings import Settings
from mlops_assets.steps import choose as choosing
from mlops_assets.steps.deciding.anchor import find_anchor
from mlops_assets.steps.deciding.lineage import anchor_models
from mlops_assets.steps.deciding.say import trained_on
from mlops_assets.steps.restore import restore_champion
from mlops_assets.steps.version import labelled_reviews
from mlops_assets.training import champion
from mlops_assets.training.champion import champion_due
from mlops_assets.training.judging.contender import Contender
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.retention import prune_versions
from tests.fakes.tiny_model import learnt_from, seal_tiny_model
from tests.unit.reviews.rows import APP, frame, review
from tests.user_clone import QUICK_DVC, UserClone

ALMOST_ALL_GATE = {"train": 5, "validation": 5, "gate": 85, "test": 5}
ANY_CALIBRATION = {"max_calibration_error": 1.0}


pytestmark = pytest.mark.usefixtures("home")


class Place:
    """A clone with a data version of 150 reviews and, below models/, a classic model that answers by two words."""

    def __init__(self, folder: Path) -> None:
        self.user = UserClone(folder, dvc=QUICK_DVC)
        params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
        self.user.write(
            "params.yaml",
            yaml.safe_dump(params | {"apps": [APP], "sides": ALMOST_ALL_GATE, "evaluate": ANY_CALIBRATION}),
        )
        kinds = (("bagus nomor", 5), ("sering error nomor", 1), ("halo nomor", 1))
        texts = [(f"{text} {n}", stars) for n in range(50) for text, stars in kinds]
        rows = [review(f"r{n}", review_text=text, rating=stars) for n, (text, stars) in enumerate(texts)]
        path = folder / "reviews.parquet"
        columns.write_frame(frame(*rows), path)
        self.user.months = {f"{APP}/2026-01.parquet": path}
        self.user.version_data()
        self.settings = Settings.load({"DEPLOY_TARGET": "process"}, folder)
        self.models = self.settings.models

    def train(self, intercept: float) -> str:
        """A classic model whose answers the intercept moves: at -0.5 all are right, at 0.5 a third is not."""
        shutil.rmtree(self.models / "classic", ignore_errors=True)
        version = seal_tiny_model(self.models / "classic", intercept=intercept)
        (self.models / "metrics.json").write_text(json.dumps({"model_version": version, "test": {"n": 3}}))
        return version

    def serve(self, intercept: float, **about: Any) -> Live:
        """Another model as a release that is live; `about` says what it was trained on."""
        folder = self.settings.releases / "other" / "model"
        version = seal_tiny_model(folder, intercept=intercept, **about)
        return Live(version, "other", "d" * 12, 1, "2026-01-01T00:00:00+00:00", "http://127.0.0.1:1")

    def choose(self, live: Live | None = None, **options: Any) -> dict[str, Any]:
        repository = self.user.repository(**options)
        repository.prepare()
        return choosing.choose_anew(self.settings, repository, live, run_id="run-9", forced=True).record()

    def lose_models(self) -> None:
        """Cache and remote lose every model that is not the newest one."""
        repository = self.user.repository()
        current = repository.versions()[0].objects.values()
        remote = repository.clone.remote.folder
        assert remote is not None
        for folder in (repository.clone.cache, remote):
            names = {name for version in repository.versions() for name in version.objects.values()} - set(current)
            folder.delete([name for name in names if folder.holds(name)])

    def release(self) -> Live:
        """The champion as a release that is live."""
        version = artifact.model_version(self.models / "champion")
        shutil.copytree(self.models / "champion", self.settings.releases / "release" / "model")
        return Live(version, "release", "d" * 12, 1, "2026-01-01T00:00:00+00:00", "http://127.0.0.1:1")

    def stored(self) -> dict[str, Any]:
        return json.loads(self.user.git("show", "pipeline:models/decision.json"))

    def commits(self) -> int:
        return len(self.user.git("log", "--first-parent", "--format=%h", "main..pipeline").splitlines())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The first model, right on two thirds, serves."""
    place = Place(tmp_path / "user")
    place.train(0.5)
    place.choose()
    return place


def test_decision_and_card_stand_in_the_version_s_commit(place: Place) -> None:
    version = place.train(-0.5)
    record = place.choose()
    assert record["promoted"]
    assert record["model_version"] == version
    stored = place.stored()
    assert {name: record[name] for name in stored} == stored
    assert stored["figures"]["candidate"]["gate"]["n"] == stored["figures"]["n"] > 80
    compared = stored["comparison"]  # a third of the reviews is answered otherwise, and is named without its text
    assert (compared["n"], compared["agreed"]) == (150, 100)
    assert "halo" not in json.dumps(stored)
    assert len(stored["figures"]["difference"]) == 4
    assert "language id" in stored["figures"]["slices"]
    card = place.user.git("show", "pipeline:models/model_card.md")
    assert version in card
    assert stored["reason"] in card
    assert "Before the switch: 66.7 %" in card


def test_a_model_that_failed_to_train_leaves_no_scores_in_the_version(place: Place) -> None:
    names = place.user.git("ls-tree", "-r", "--name-only", "pipeline").splitlines()
    assert "models/metrics.json" in names
    repository = place.user.repository()
    repository.prepare()
    repository.stage_models({}, metrics={})
    repository.commit_models("run-8", "Neither was trained", "0" * 12)
    names = place.user.git("ls-tree", "-r", "--name-only", "pipeline").splitlines()
    assert "models/metrics.json" not in names
    assert "models/classic.dvc" in names


POINTS = ("added", "composed", "sent to user", "place", "record")


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_next_call_ends_with_the_one_decision(
    place: Place, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In-process: raising there leaves the same files as a kill, since every step is a rename."""
    before, commits = champion.last_decision(place.models).model_version, place.commits()
    version = place.train(-0.5)

    def at(phase: str) -> None:
        if phase == point:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        for name, own in (("put_in_place", "place"), ("write_decision", "record")):
            really = getattr(champion, name)
            patched.setattr(champion, name, lambda *given, own=own, really=really: (at(own), really(*given)))
        with pytest.raises(KeyboardInterrupt):
            place.choose(at_phase=at)
    assert champion_due(place.models)
    place.choose()
    record = champion.last_decision(place.models).record()
    assert (record["against"], record["model_version"], record["promoted"]) == (before, version, True)
    assert record["reason"].startswith("better beyond noise")
    assert not champion_due(place.models)
    assert artifact.model_version(place.models / "champion") == version
    assert place.commits() == commits + 1


def test_killed_with_the_place_empty_the_champion_before_is_judged_against(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = champion.last_decision(place.models).model_version
    version = place.train(-0.5)
    really = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name == ".champion.partial":
            raise KeyboardInterrupt
        return really(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            place.choose()
    assert not (place.models / "champion").exists()
    record = place.choose()
    assert (record["against"], record["model_version"]) == (before, version)


@pytest.mark.parametrize(("intercept", "promoted"), [(0.6, True), (9.0, False)])
def test_after_a_rollback_the_live_model_is_judged_against_and_stays_if_no_candidate_is_as_good(
    place: Place, intercept: float, promoted: bool
) -> None:
    live = place.release()
    place.train(-0.5)
    assert place.choose()["promoted"]
    candidate = place.train(intercept)
    record = place.choose(live)
    assert (record["against"], record["promoted"]) == (live.model_version, promoted)
    assert record["model_version"] == (candidate if promoted else live.model_version)
    assert artifact.model_version(place.models / "champion") == record["model_version"]
    assert not champion_due(place.models)


def test_a_live_model_that_is_not_here_leaves_the_one_chosen_last_to_judge_against(place: Place) -> None:
    live = place.release()
    shutil.rmtree(place.settings.releases)
    chosen = place.train(-0.5)
    place.choose()
    place.train(0.6)
    record = place.choose(live)
    assert (record["against"], record["promoted"]) == (chosen, False)


def test_a_live_model_of_generated_reviews_gives_way_and_serves_on_only_where_no_model_is_good_enough(
    place: Place,
) -> None:
    live = place.serve(-0.5, metrics=learnt_from("sample.app"))
    place.train(9.0)
    kept = place.choose(live)
    assert (kept["promoted"], kept["model_version"]) == (False, live.model_version)
    assert kept["trained_on"]["generated"]
    told = f"champion {live.model_version} was trained on generated reviews, not on those of {APP}, so it has no say: "
    assert kept["reason"].startswith(f"{told}it serves all the same, for no new model may take its place: ")
    candidate = place.train(0.6)
    record = place.choose(live)
    assert (record["promoted"], record["model_version"]) == (True, candidate)
    assert record["reason"].startswith(f"{told}first model: classic, macro-F1 0.")
    assert place.stored()["reason"] == record["reason"]


def test_models_are_judged_on_no_text_that_one_of_them_learned_from(place: Place) -> None:
    """As if the live model came from a clone with another split of the texts."""
    place.train(-0.5)
    on_all = place.choose()["figures"]["n"]
    known = Split.explicit({"train": 50, "validation": 10, "gate": 20, "test": 20})
    live = place.serve(-0.6, split=str(known))
    place.train(-0.55)
    rows = pd.concat(map(columns.read_frame, place.user.months.values()))
    gate = Split.explicit(ALMOST_ALL_GATE).sides_of(rows["review_text"]) == "gate"
    fair = gate & known.sides_of(rows["review_text"]).isin(["gate", "test"])
    assert 0 < fair.sum() < on_all == gate.sum()
    assert place.choose(live)["figures"]["n"] == fair.sum()


def test_a_real_app_s_own_model_keeps_its_say(place: Place) -> None:
    live = place.serve(-0.5, metrics=learnt_from(APP, sources=["file"]))
    place.train(0.6)
    record = place.choose(live)
    assert (record["promoted"], record["reason"].split(":")[0]) == (False, "worse beyond noise")


def test_what_an_older_model_s_folder_does_not_say_is_found_in_the_versions(place: Place) -> None:
    """The data that it was trained on stands on the branch with its apps, and none of them is an app of now."""
    repository = place.user.repository()
    repository.prepare()
    [known] = {one.dataset_version for one in repository.versions() if one.dataset_version}
    found = trained_on(artifact.read(_sealed(place, dataset_version=known), verify=False), repository)
    assert found.apps == (APP,)
    unknown = artifact.read(_sealed(place, dataset_version="0" * 12), verify=False)
    assert trained_on(unknown, repository).apps == ()


def _sealed(place: Place, **about: Any) -> Path:
    folder = place.settings.releases / str(about["dataset_version"])
    seal_tiny_model(folder, **about)
    return folder


def test_a_live_model_that_answers_everything_alike_has_no_say(place: Place) -> None:
    live = place.serve(9.0, metrics=learnt_from(APP))
    place.train(0.6)
    record = place.choose(live)
    assert record["promoted"]
    assert "gives one answer to every review, so it has no say: first model: classic" in record["reason"]


def test_the_model_of_a_real_app_is_not_replaced_by_one_of_generated_reviews(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = place.serve(0.5, metrics=learnt_from(APP, sources=["file"]))
    place.train(-0.5)
    really = choosing.labelled_counts
    monkeypatch.setattr(
        choosing,
        "labelled_counts",
        lambda *given: dataclasses.replace(really(*given), rows={"sample.app": 600}, sources=["sample"]),
    )
    record = place.choose(live)
    assert (record["promoted"], record["model_version"]) == (False, live.model_version)
    assert f"it was trained on reviews of {APP}, which no model of generated reviews replaces" in record["reason"]


def test_the_oldest_model_is_the_anchor_and_comes_from_the_versions_if_it_is_nowhere_else(place: Place) -> None:
    """Four models with the same answers: the fourth would be the third promotion since the anchor."""
    anchor = place.stored()
    assert anchor["basis"] == "first"
    for count, intercept in enumerate((0.51, 0.52)):
        place.train(intercept)
        record = place.choose()
        assert (record["promoted"], record["basis"]) == (True, "as good")
        told = record["figures"]["anchor"]
        assert (told["model_version"], told["as_good"]) == (anchor["model_version"], count)
    shutil.rmtree(place.settings.instance_folder / "anchor")
    version = place.train(0.53)
    record = place.choose()
    assert not record["promoted"]
    assert record["reason"].startswith("not shown to be within 1.5 points of the anchor " + anchor["model_version"])
    assert artifact.model_version(place.settings.instance_folder / "anchor") == anchor["model_version"]
    assert [each for each, _ in record["figures"]["anchor"]["recent"]["classic"]][-1] == version
    assert place.stored()["figures"]["anchor"] == record["figures"]["anchor"]
    kept = anchor_models(place.settings, place.user.repository())
    assert kept[0] == anchor["model_version"]
    assert record["model_version"] in kept


def test_an_anchor_whose_files_are_lost_is_told_and_later_models_must_be_better(place: Place) -> None:
    for intercept in (0.51, 0.52, 0.53):
        place.train(intercept)
        record = place.choose()
    assert not record["promoted"]
    shutil.rmtree(place.settings.instance_folder / "anchor")
    place.lose_models()
    place.train(0.54)
    record = place.choose()
    assert not record["promoted"]
    assert "2 promotions since the anchor" in record["reason"]
    assert "it is out of reach (neither cache nor remote" in record["reason"]
    place.train(-0.5)
    assert place.choose()["basis"] == "better"


def test_pruning_goes_on_where_an_earlier_release_pruned_the_anchor(place: Place) -> None:
    anchor = place.stored()["model_version"]
    place.train(-0.5)
    place.choose()
    place.lose_models()
    said: list[str] = []
    pruned = prune_versions(
        place.user.repository(),
        now=datetime(2030, 1, 1, tzinfo=UTC),
        rules=RetentionRules(),
        deployed=(),
        report=said.append,
        anchors=lambda: [anchor],
    )
    assert "models that new ones would be compared with, gone from cache and remote: 1" in said
    assert set(pruned.plan.keep.values()) == {"current", "anchor"}


def test_a_damaged_copy_of_the_anchor_is_fetched_again(place: Place) -> None:
    for intercept in (0.51, 0.52):
        place.train(intercept)
        place.choose()
    kept = place.settings.instance_folder / "anchor"
    (kept / "golden.json").write_text("[]")
    place.train(0.53)
    assert place.choose()["figures"]["anchor"]["changes"].keys() == {"classic"}
    assert artifact.is_whole(kept)


def test_a_model_with_other_labels_is_no_anchor(place: Place) -> None:
    repository = place.user.repository()
    repository.prepare()
    gate = labelled_reviews(place.settings, repository)
    odds = np.full((len(gate), 3), 1 / 3)
    anchor = find_anchor(place.settings, repository, gate, Contender("champion", "f" * 12, ("a", "b", "c"), odds))
    assert anchor is not None
    assert (anchor.contender, anchor.why) == (None, "it answers negative, positive")


def test_a_restored_champion_comes_back_with_the_decision_that_chose_it(place: Place) -> None:
    first, stored = champion.last_decision(place.models), place.stored()
    place.train(-0.5)
    place.choose()
    repository: VersionRepository = place.user.repository()
    repository.prepare()
    known = repository.versions()
    older = next(one for one in known if one.champion == first.model_version)
    assert restore_champion(repository, place.models, older, known) == first.model_version
    restored = champion.last_decision(place.models)
    assert restored.figures == stored["figures"]
    assert stored["reason"] in restored.reason
    assert stored["reason"] in (place.models / "champion.md").read_text(encoding="utf-8")
