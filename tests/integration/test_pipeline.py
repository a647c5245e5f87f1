"""The whole pipeline as `make run` runs it: collect, version, train, choose, release, deploy."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets import artifact
from mlops_assets.cli.data import decide_about_release, show_deployments
from mlops_assets.cli.run import run_pipeline
from mlops_assets.cli.trial import try_recipes
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.failures import BadSetting, PermanentFailure
from mlops_assets.reviews.stored.split import Split
from mlops_assets.settings import Settings
from tests.user_clone import free_port, git, make_clone, settings_of, write_params

CLOCK = "2026-04-15T00:00:00Z"


@dataclass
class Place:
    """A clone with its port, and the last summary."""

    root: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        return {"NOW": CLOCK, "PORT": str(self.port), "DEPLOY_TARGET": "process"}

    def settings(self, **environ: str) -> Settings:
        return settings_of(self.root, **{**self.environ, **environ})

    def run(self, **environ: str) -> int:
        return run_pipeline(self.settings(**environ))

    def live(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=60).json()["model_version"]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))

    def stages(self) -> dict[str, str]:
        return {row["stage"]: row["status"] for row in self.summary["stages"]}

    def reason(self, stage: str) -> str:
        return next(row["reason"] for row in self.summary["stages"] if row["stage"] == stage)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A clone in which the pipeline ran once; the tests below run it again, in their order."""
    found = Place(make_clone(tmp_path_factory.mktemp("user") / "clone"), free_port())
    assert found.run() == 0
    yield found
    Service(ProcessBackend(found.root / ".serving", found.port)).stop()


def everything_of(root: Path) -> dict[str, str]:
    """Every file of data, models, releases and the branch, by its content."""
    tip = {"pipeline": git(root, "rev-parse", "pipeline")}
    return tip | {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("data", "models", ".releases", ".serving", ".pipeline/data", ".dvc-remote")
        for path in (root / name).rglob("*")
        if path.is_file() and "log" not in path.name
    }


def test_a_first_run_does_every_stage_and_leaves_the_champion_serving(place: Place) -> None:
    summary = place.summary
    assert set(place.stages().values()) == {"done"}
    health = httpx.get(f"http://127.0.0.1:{place.port}/health", timeout=60).json()
    assert health["model_version"] == summary["champion"]["model_version"]
    assert health["dataset_version"] == summary["dataset_version"]
    assert set(summary["models"]) == set(summary["champion"]["candidates"]) == {"bert", "classic", "blend"}
    for figures in summary["models"].values():
        assert all(figures[side]["n"] > 0 for side in ("validation", "gate", "test"))
        assert figures["dataset_version"] == summary["dataset_version"]


def test_the_service_answers_with_its_versions(place: Place) -> None:
    answer = httpx.post(
        f"http://127.0.0.1:{place.port}/predict", json={"text": "bagus sekali, mantap"}, timeout=60
    ).json()
    assert set(answer) >= {"sentiment", "confidence", "probabilities", "model_version", "dataset_version"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_outputs_of_the_first_run_stand_on_record(place: Place) -> None:
    outputs = place.summary["outputs"]
    assert outputs["new_data_available"] is True
    assert outputs["data_valid"] is True
    assert outputs["dvc_committed"] is True
    assert outputs["models_trained"] is True
    assert 0.5 < outputs["bert_accuracy"] <= 1
    assert 0.5 < outputs["traditional_accuracy"] <= 1


def test_data_and_models_are_two_commits_whose_trailers_name_the_run(place: Place) -> None:
    log = git(place.root, "log", "--first-parent", "--format=%B%x00", "pipeline").split("\0")
    assert f"Data-Version: {place.summary['dataset_version']}" in log[1]
    assert f"Models-Data-Version: {place.summary['dataset_version']}" in log[0]
    assert all(f"Pipeline-Run: {place.summary['run_id']}" in message for message in log[:2])


def test_a_second_run_finds_nothing_new_and_leaves_everything_as_it_is(place: Place) -> None:
    before = _state(place)
    pid = httpx.get(f"http://127.0.0.1:{place.port}/health", timeout=60).json()["model_version"]
    assert place.run() == 0
    assert _state(place) == before
    stages = place.stages()
    assert {
        stages[name] for name in ("bert_model", "classic_model", "champion_model", "deployed_image", "predictions")
    } == {"skipped"}
    assert place.summary["outputs"]["new_data_available"] is False
    assert place.summary["outputs"]["models_trained"] is False
    assert httpx.get(f"http://127.0.0.1:{place.port}/health", timeout=60).json()["model_version"] == pid


def test_a_trial_trains_the_changed_recipe_alone_and_nothing_else_changes(place: Place, tmp_path: Path, capsys) -> None:
    before, live = everything_of(place.root), place.live()
    params = "classic.trees=20, classic.strengths=[0.5, 1.0] classic.seed=3"
    assert try_recipes(place.settings(), params=params, to=str(tmp_path / "trial")) == 0
    report = capsys.readouterr().out
    assert "Changed: classic.trees: 20, classic.strengths: \\[0.5, 1.0\\], classic.seed: 3" in report
    assert "forest: trained, the recipe changed" in report
    assert "BERT: taken as it is, training data" in report
    assert f"It was compared with the present model {live}" in report
    assert "No model is live here" not in report
    assert re.search(r"classic +\| [+-]\d+\.\d \[", report) or re.search(r"\| classic \| \d+ \| [+-]\d", report)
    assert everything_of(place.root) == before
    assert place.live() == live
    kept = artifact.read(tmp_path / "trial" / "models" / "classic")
    assert kept.trained_with.recipe != artifact.read(place.root / "models" / "classic").trained_with.recipe
    assert "data:image/png" in (tmp_path / "trial" / "trial.html").read_text(encoding="utf-8")
    assert (tmp_path / "trial" / "trial.md").read_text(encoding="utf-8") == report


def test_a_trial_that_is_ended_midway_leaves_nothing(place: Place) -> None:
    before = everything_of(place.root)
    command = [sys.executable, "-m", "mlops_assets.cli", "try", "--params", "bert.epochs=100"]
    environ = {**place.environ, "PIPELINE_ROOT": str(place.root), "PATH": os.environ["PATH"]}  # noqa: TID251
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as trial:
        assert trial.stderr is not None
        assert next(line for line in trial.stderr if "poch" in line)
        assert (place.root / ".dagster" / "trial").is_dir()
        trial.terminate()
        assert trial.wait(60) == 130
    assert not (place.root / ".dagster" / "trial").exists()
    assert everything_of(place.root) == before


def test_a_trial_without_a_model_to_compare_with_says_so(place: Place, tmp_path: Path, capsys) -> None:
    root = tmp_path / "clone"
    gone = shutil.ignore_patterns("models", ".serving", ".releases")
    shutil.copytree(
        place.root,
        root,
        symlinks=True,
        ignore=lambda folder, names: gone(folder, names) if Path(folder) == place.root else (),
    )
    settings = settings_of(root, NOW=CLOCK, PORT=str(free_port()))
    assert try_recipes(settings, params="", to="") == 0
    report = capsys.readouterr().out
    assert "Changed: nothing; the recipes are those of params.yaml" in report
    assert "there is no model yet" in report
    assert "No model is live here" in report
    assert "compared with no model, since none was chosen yet" in report
    assert not (root / "models").exists()


def test_a_changed_recipe_retrains_just_that_model(place: Place) -> None:
    bert = (place.root / "models" / "bert" / "manifest.json").read_bytes()
    write_params(place.root, classic={"trees": 12, "max_leaf_nodes": 30, "strengths": [1.0], "votes": [0.3]})
    assert place.run() == 0
    assert place.stages()["classic_model"] == "done"
    assert "the recipe changed" in place.reason("classic_model")
    assert place.stages()["bert_model"] == "skipped"
    assert (place.root / "models" / "bert" / "manifest.json").read_bytes() == bert


def test_a_later_clock_brings_a_month_and_retrains_both(place: Place) -> None:
    before = place.summary["dataset_version"]
    assert place.run(NOW="2026-05-02T00:00:00Z") == 0
    assert place.summary["dataset_version"] != before
    assert place.stages()["bert_model"] == place.stages()["classic_model"] == "done"
    assert "the training data changed" in place.reason("bert_model")


def test_force_retrain_trains_and_skip_deploy_leaves_the_service(place: Place) -> None:
    assert place.run(NOW="2026-05-02T00:00:00Z", FORCE_RETRAIN="1", SKIP_DEPLOY="1") == 0
    assert place.reason("classic_model") == "force_retrain is set"
    assert place.stages()["serving_image"] == "done"
    assert place.stages()["deployed_image"] == "skipped"
    assert place.reason("deployed_image") == "skip_deploy is set"


def test_every_model_names_its_split_and_the_gate_side_has_not_grown(place: Place) -> None:
    trailers = git(place.root, "log", "--first-parent", "--format=%B", "pipeline").splitlines()
    percents = [int(line.rsplit("=", 1)[1]) for line in trailers if line.startswith("Gate-Percent: generated=")]
    assert percents == sorted(percents)  # newest first
    assert 5 < percents[0] < 30
    for kind in ("bert", "classic"):
        split = artifact.read(place.root / "models" / kind).trained_with.split
        assert Split.parse(split) == Split.nested(percents[0])


def test_a_new_release_waits_for_approval_while_the_old_one_serves(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = httpx.get(f"http://127.0.0.1:{place.port}/health").json()["release_version"]
    write_params(place.root, deploy={"watch_s": 0.0, "approval": "required"})
    lock = place.root / "locks" / "serving.txt"
    lock.parent.mkdir()
    lock.touch()  # the server's packages are part of a release: this makes another one
    assert place.run(NOW="2026-05-02T00:00:00Z") == 0
    waits, settings = place.summary["waits_for_approval"], settings_of(place.root, PORT=str(place.port))
    assert waits["asked"]
    assert f"release {waits['release']} waits for approval until {waits['until']}" in place.reason("deployed_image")
    assert place.summary["deployed"] is None
    assert httpx.get(f"http://127.0.0.1:{place.port}/health").json()["release_version"] == before
    assert decide_about_release(settings, "approve", "", by="Ani", comment="fine") == 0
    assert f"Release {waits['release']} is approved by Ani (make approve)" in capsys.readouterr().out
    assert httpx.get(f"http://127.0.0.1:{place.port}/health").json()["release_version"] == waits["release"]
    assert show_deployments(settings) == 0
    live, approved, *_ = capsys.readouterr().out.splitlines()[1:]
    assert "approval by Ani (make approve)" in live
    assert approved.endswith("fine")
    write_params(place.root, deploy={"watch_s": 0.0})


def test_a_file_of_an_unknown_app_is_refused_with_the_line_to_add(place: Place, tmp_path: Path) -> None:
    before = _state(place)
    file = tmp_path / "reviews.csv"
    file.write_text("app_id,review_text,rating,review_date\ncom.other.app,bagus,5,2026-03-01\n", encoding="utf-8")
    with pytest.raises(PermanentFailure, match=r"com\.other\.app"):
        place.run(REVIEWS=str(file))
    assert _state(place) == before
    assert httpx.get(f"http://127.0.0.1:{place.port}/health", timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        ("", "is empty"),
        ("a,b\n1,2\n", "none of the required columns"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(place: Place, tmp_path: Path, content: str | None, said: str) -> None:
    before = _state(place)
    file = tmp_path / "reviews.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(PermanentFailure, match=said) as caught:
        place.run(REVIEWS=str(file))
    assert "\n" not in str(caught.value)
    assert _state(place) == before


def test_a_month_that_no_source_has_is_refused(place: Place) -> None:
    with pytest.raises(BadSetting, match="FROM must not be after 2026-03"):
        place.run(FROM="2027-01")


def test_another_source_is_another_version_and_leaves_the_first_ones_rows(place: Place, tmp_path: Path) -> None:
    file = _reviews_file(tmp_path / "reviews.csv", likes=0)
    assert place.run(REVIEWS=str(file)) == 0
    assert place.summary["source"] == "file"
    names = git(place.root, "show", "--name-only", "--format=", "pipeline")
    assert "models/classic.dvc" in names
    staged = sorted(path.parent.name for path in (place.root / ".pipeline/data/validated").glob("*/*.parquet"))
    assert set(staged) == {"com.valar.pintu"}
    assert list((place.root / "data/raw/sample.app").glob("*.parquet"))


def test_changed_likes_are_another_data_version_and_train_no_model(place: Place, tmp_path: Path) -> None:
    assert place.run(REVIEWS=str(_reviews_file(tmp_path / "a.csv", likes=0))) == 0
    before = place.summary["dataset_version"]
    assert place.run(REVIEWS=str(_reviews_file(tmp_path / "b.csv", likes=7))) == 0
    assert place.summary["dataset_version"] != before
    assert place.stages()["bert_model"] == place.stages()["classic_model"] == "skipped"
    assert place.stages()["predictions"] == "done"


def _reviews_file(path: Path, *, likes: int) -> Path:
    """400 reviews of one app; the first 50 have so many likes."""
    lines = ["app_id,review_id,review_text,rating,review_date,thumbs_up"]
    for n in range(400):
        text, rating = ("bagus sekali", 5) if n % 2 else ("jelek dan lambat", 1)
        given = likes if n < 50 else 0
        lines.append(f"com.valar.pintu,r{n},{text} {n},{rating},2026-03-{1 + n % 28:02d},{given}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _state(place: Place) -> dict[str, bytes | str]:
    """Everything that a run may change, by content; run history and summaries aside."""
    files = [path for name in ("data", "models") for path in (place.root / name).rglob("*") if path.is_file()]
    found: dict[str, bytes | str] = {str(path.relative_to(place.root)): path.read_bytes() for path in files}
    return found | {"branch": git(place.root, "rev-parse", "pipeline")}
