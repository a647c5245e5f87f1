"""The blend of two models that each know half: it wins, is versioned with nothing stored twice, serves and returns."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from mlops_assets import artifact
from mlops_assets.artifact import TrainedWith
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.params.models import ClassicRecipe
from mlops_assets.reviews.stored import columns
from mlops_assets.serving.models.model import load
from mlops_assets.settings import Settings
from mlops_assets.steps import choose as choosing
from mlops_assets.steps.package import champion_release
from mlops_assets.steps.restore import restore, restore_champion
from mlops_assets.steps.version import labelled_counts, labelled_reviews
from mlops_assets.training import champion
from mlops_assets.training.classic.train import train_classic
from mlops_assets.training.metrics import Metrics
from mlops_assets.training.trained import Trained
from tests.fakes.service import UNWATCHED, silent
from tests.tiny_bert import BAD, GOOD, OTHER, train_tiny
from tests.unit.reviews.rows import APP, frame, review
from tests.user_clone import QUICK_DVC, UserClone, free_port

GOOD_TO_CLASSIC, BAD_TO_CLASSIC = ("hebat", "puas"), ("buruk", "rugi")
SIDES = {"train": 50, "validation": 15, "gate": 30, "test": 5}
SMALL = ClassicRecipe(trees=5, max_leaf_nodes=10, strengths=(1.0,), votes=(0.0,))
NEITHER_ALONE = ["mantap menu", "jelek saldo", "hebat puas akun", "rugi buruk hari"]
"""Two texts with words that only BERT learnt, two with words that only the classic model learnt."""

ENVIRONMENT = {"PATH": os.environ["PATH"]}  # noqa: TID251 - the test starts programs, settings do not


class Place:
    """A clone with a data version of 800 reviews; each model was trained on the half with its own words."""

    def __init__(self, folder: Path) -> None:
        self.user = UserClone(folder, dvc=QUICK_DVC)
        params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
        own = {"apps": [APP], "sides": SIDES, "evaluate": {"max_calibration_error": 1.0, "rounds": 200}}
        self.user.write("params.yaml", yaml.safe_dump(params | own))
        random = np.random.default_rng(0)
        rows = []
        for number in range(800):
            positive = number % 2 == 0
            words = ((GOOD, BAD), (GOOD_TO_CLASSIC, BAD_TO_CLASSIC))[number // 2 % 2][0 if positive else 1]
            text = " ".join(random.permutation([*random.choice(OTHER, 4), *random.choice(words, 2)]))
            rows.append(review(f"r{number}", review_text=text, rating=5 if positive else 1))
        path = folder / "reviews.parquet"
        columns.write_frame(frame(*rows), path)
        self.user.months = {f"{APP}/2026-01.parquet": path}
        self.user.version_data()
        self.settings = Settings.load({"DEPLOY_TARGET": "process"}, folder)
        self.models = self.settings.models
        repository = self.user.repository()
        repository.prepare()
        self.reviews = labelled_reviews(self.settings, repository)
        self.training_data = labelled_counts(self.settings, repository).training_data

    def train(self) -> None:
        of_classic = self.reviews["review_text"].str.contains("|".join((*GOOD_TO_CLASSIC, *BAD_TO_CLASSIC)))
        with_ = TrainedWith("d" * 12, "binary", "recipe", "code", self.training_data, len(self.reviews))
        scratch = self.settings.instance_folder / "checkpoints"
        half = self.reviews[~of_classic].reset_index(drop=True)
        bert = train_tiny(self.models / "bert", scratch, frame=half, trained_with=with_, epochs=8)
        half = self.reviews[of_classic].reset_index(drop=True)
        classic = train_classic(
            half, SMALL, self.models / "classic", trained_with=with_, run_id="run-1", report=silent, load=load
        )
        self._keep(bert=bert, classic=classic)

    def _keep(self, **trained: Trained) -> None:
        for kind, model in trained.items():
            Metrics.of(model.metrics).write(self.models / artifact.METRICS_FILES[kind])

    def choose(self) -> champion.Decision:
        repository = self.user.repository()
        repository.prepare()
        return choosing.choose_anew(self.settings, repository, None, run_id="run-2", forced=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Both models are trained, and the decision between them is taken; the tests run in their order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("blend")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(root))
        place = Place(root / "user")
        place.train()
        place.choose()
        yield place
    torch.set_num_threads(before)


def test_the_blend_of_two_halves_is_chosen_and_the_decision_names_all_three(place: Place) -> None:
    decision = champion.last_decision(place.models)
    assert (decision.promoted, decision.model) == (True, "blend")
    assert set(decision.candidates) == {"bert", "classic", "blend"}
    assert artifact.model_version(place.models / "champion") == decision.candidates["blend"]
    assert not champion.champion_due(place.models)
    card = (place.models / "champion.md").read_text(encoding="utf-8")
    assert card.startswith("# Sentiment of app reviews: blend of BERT and the classic model")
    assert "of accuracy on the texts of gate and test" in card
    brings = json.loads((place.models / "blend_metrics.json").read_text())["members"]["brings"]
    assert 0 < brings["low"] < brings["points"]


def test_the_version_holds_the_blend_and_stores_nothing_of_its_members_twice(place: Place) -> None:
    names = place.user.git("ls-tree", "-r", "--name-only", "pipeline").splitlines()
    assert {"models/blend.dvc", "models/blend_metrics.json"} <= set(names)
    repository = place.user.repository()
    newest = repository.versions()[0]
    assert newest.models["blend"] == newest.champion
    listing = repository.clone.cache.listing
    blend = listing(newest.objects["models/blend"])
    members = {
        f"{kind}/{name}": md5
        for kind in artifact.MEMBERS
        for name, md5 in listing(newest.objects[f"models/{kind}"]).items()
    }
    own = {"golden.json", "manifest.json"}
    assert {name: md5 for name, md5 in blend.items() if name not in own}.items() <= members.items()
    assert len(blend) == 2 + len(members) - len(artifact.read(place.models / "bert").training_files)


def test_the_service_answers_as_the_blend_does_what_neither_member_knows(place: Place) -> None:
    release = champion_release(place.settings)
    service = Service(ProcessBackend(place.settings.root / ".serving", free_port(), environment=ENVIRONMENT))
    try:
        done = service.deploy(release, silent, watching=UNWATCHED)
        answers = httpx.post(f"{done.url}/predict/batch", json={"texts": NEITHER_ALONE}, timeout=60).json()["results"]
        about = httpx.get(f"{done.url}/model/info", timeout=60).json()
        words = httpx.post(f"{done.url}/explain", json={"text": "hebat sekali menu"}, timeout=60).json()["words"]
        metrics = httpx.get(f"{done.url}/metrics", timeout=60).text
    finally:
        service.stop()
    assert [answer["sentiment"] for answer in answers] == ["positive", "negative", "positive", "negative"]
    served = np.array([list(answer["probabilities"].values()) for answer in answers])
    np.testing.assert_allclose(served, load(place.models / "blend").probabilities(NEITHER_ALONE), atol=1e-5)
    assert (about["kind"], about["device"], about["model_version"]) == ("blend", "cpu", done.model_version)
    assert max(words, key=lambda word: word["weight"])["word"] == "hebat"
    assert 'kind="blend"' in metrics


def test_a_restored_version_brings_the_blend_and_makes_it_champion_again(place: Place) -> None:
    decision = champion.last_decision(place.models)
    for name in ("blend", "champion"):
        shutil.rmtree(place.models / name)
    (place.models / "champion.json").unlink()
    repository = place.user.repository()
    assert "models/blend" in restore(repository, decision.model_version).changed
    known = repository.versions()
    assert restore_champion(repository, place.models, known[0], known) == decision.model_version
    assert artifact.read(place.models / "champion").kind == "blend"
    assert champion.last_decision(place.models).candidates == decision.candidates
    assert not champion.champion_due(place.models)


def test_members_of_older_reviews_compete_without_a_blend_and_the_reason_says_why(place: Place) -> None:
    manifest = place.models / "bert" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(place.training_data, "0" * 12), encoding="utf-8")
    metrics = place.models / "bert_metrics.json"
    record = json.loads(metrics.read_text()) | {"model_version": artifact.model_version(place.models / "bert")}
    metrics.write_text(json.dumps(record))
    assert champion.champion_due(place.models)
    decision = place.choose()
    assert set(decision.candidates) == {"bert", "classic"}
    assert decision.reason.endswith(
        "; no blend: bert was trained on other reviews than those that models are judged on"
    )
    assert decision.model == "blend"  # the one that served stays
    names = place.user.git("ls-tree", "-r", "--name-only", "pipeline").splitlines()
    assert "models/blend_metrics.json" not in names
