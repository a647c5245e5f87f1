"""Wrong parameters are refused before a run touches anything."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.assets.partitions import range_tags
from mlops_assets.cli.run import run_pipeline
from mlops_assets.definitions import build_definitions
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.file import SECTIONS
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_bad_parameters
from tests.user_clone import make_clone, settings_of

PROJECT = Path(__file__).parents[3]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "sides": ({"train": 60, "validation": 7.5, "gate": 5, "test": 7.5}, "sides must add up to 100 percent, got 80"),
    "reference": ({"reviews_per_app": 0}, "reference.reviews_per_app must be a whole number from 1 to 1000000, got 0"),
    "play_store": ({"requests_per_second": 0}, "play_store.requests_per_second must be a number"),
    "validation": ({"sample": 1}, "validation.sample must be a whole number from 100, got 1"),
    "drift": ({"alfa": 0.1}, "drift.alfa is no parameter"),
    "classic": ({"trees": 0}, "classic.trees must be a whole number from 1 to 2000, got 0"),
    "bert": ({"epochs": 0}, "bert.epochs must be a whole number from 1 to 100, got 0"),
    "retrain": ({"new_reviews": 0}, "retrain.new_reviews must be a whole number from 1"),
    "predictions": ({"most_minutes": 0}, "predictions.most_minutes must be a number above 0 and at most 1440, got 0"),
    "evaluate": ({"round": 1}, "evaluate.round is no parameter"),
    "deploy": ({"target": "docker"}, "deploy.target is no parameter"),
    "versions": (
        {"retention": {"data_days": -1}},
        "versions.retention.data_days must be a whole number from 0, got -1",
    ),
    "mirrors": ({"timeout_s": 0}, "mirrors.timeout_s must be a number from 0.1, got 0"),
    "ray": ({"training_gpus": 2}, "ray.training_gpus must be a whole number from 0 to 1, got 2"),
    "topics": ({"count": 1}, "topics.count must be a whole number from 2 to 50, got 1"),
    "operations": ({"digest_hour": 25}, "operations.digest_hour must be a whole number from 0 to 23, got 25"),
}


def test_the_projects_own_parameters_pass() -> None:
    refuse_bad_parameters(Settings.load({}, PROJECT))


def test_every_section_has_a_wrong_value_below() -> None:
    assert WRONG.keys() == set(SECTIONS)


@pytest.mark.parametrize("name", ["positive_share", "positive_share_since"])
def test_make_run_refuses_a_parameter_of_an_app_that_does_not_exist(name: str, tmp_path: Path) -> None:
    value = [0.05, 0.99] if name == "positive_share" else "2026-01-31"
    clone = make_clone(tmp_path / "clone", validation={name: {"com.exmaple.app": value}})
    with pytest.raises(PermanentFailure, match=f"validation.{name} names com.exmaple.app, but the apps here are com"):
        run_pipeline(settings_of(clone))
    assert not (clone / "data").exists()


def test_parameters_may_name_an_app_that_a_run_named_and_that_has_reviews_since(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone", validation={"positive_share": {"com.gojek.app": [0.05, 0.99]}})
    with pytest.raises(PermanentFailure, match=r"com\.gojek\.app"):
        refuse_bad_parameters(settings_of(clone))
    refuse_bad_parameters(settings_of(clone, APP="com.gojek.app"))
    (clone / "data" / "raw" / "com.gojek.app").mkdir(parents=True)
    refuse_bad_parameters(settings_of(clone))


@pytest.mark.parametrize("section", WRONG)
def test_make_run_refuses_a_wrong_parameter_before_it_does_anything(section: str, tmp_path: Path) -> None:
    given, told = WRONG[section]
    clone = make_clone(tmp_path / "clone", **{section: given})
    before = sorted(clone.iterdir())
    with pytest.raises(PermanentFailure) as refused:
        run_pipeline(settings_of(clone))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(clone.iterdir()) == before


def test_make_run_refuses_steps_that_its_target_does_not_know_before_it_does_anything(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone", deploy={"steps": [5, 25, 100]})
    before = sorted(clone.iterdir())
    with pytest.raises(
        PermanentFailure, match=r"deploy\.steps must be \[100\] with target process, got \[5, 25, 100\]"
    ):
        run_pipeline(settings_of(clone, DEPLOY_TARGET="process"))
    assert sorted(clone.iterdir()) == before


def test_a_run_from_the_ui_refuses_it_in_its_first_step(tmp_path: Path) -> None:
    settings = settings_of(make_clone(tmp_path / "clone", operations={"digest_hour": 25}))
    with dg.instance_for_test() as instance:
        job = build_definitions(settings).resolve_job_def("pipeline")
        months = range_tags(settings, ["sample.app"], "2026-01", "2026-01")
        result = job.execute_in_process(instance=instance, tags=months, raise_on_error=False)
        assert not result.success
        failed = result.failure_data_for_node("raw_reviews")
    assert failed is not None
    assert failed.user_failure_data is not None
    assert "operations.digest_hour" in (failed.user_failure_data.description or "")
    assert not settings.data.exists()
