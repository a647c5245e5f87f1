"""The graph as Dagster loads it."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.definitions import build_definitions
from mlops_assets.settings import Settings

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings.load({}, PROJECT))


def test_the_edges_of_the_graph_are_those_of_the_readme(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    drawn: set[tuple[str, str]] = set()
    picture = (PROJECT / "README.md").read_text(encoding="utf-8").split("```")[1]
    for line in picture.strip().splitlines():
        names = re.findall(r"\w+", line)
        drawn |= set(itertools.pairwise(names))
    real = {
        (parent.to_user_string(), key.to_user_string())
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
    }
    assert drawn == real


def test_every_asset_has_a_page_an_owner_a_group_and_a_code_version(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.code_version, spec.key
        assert spec.group_name in {"reviews", "training", "deploy", "serving"}, spec.key


@pytest.mark.parametrize("rule", ["none", "required"])
def test_the_sensor_for_approvals_ticks_only_where_they_are_required(rule: str) -> None:
    settings = Settings.load({}, PROJECT)
    asking = settings.model_copy(update={"sections": {**settings.sections, "deploy": {"approval": rule}}})
    names = [sensor.name for sensor in build_definitions(asking).sensors or []]
    assert ("deploy_approved_release" in names) == (rule == "required")


def test_every_check_says_why_it_is_worth_stopping_for(definitions: dg.Definitions) -> None:
    specs = [spec for checks in definitions.asset_checks or [] for spec in checks.check_specs]
    assert {spec.name for spec in specs} >= {
        "collection_is_complete",
        "reviews_are_not_empty",
        "required_columns_exist",
        "required_values_are_present",
        "positive_share_is_normal",
    }
    for spec in specs:
        assert spec.description, spec.name


def test_one_job_holds_the_whole_graph_and_the_other_leaves_collecting_out(definitions: dg.Definitions) -> None:
    everything = {spec.key for spec in definitions.resolve_all_asset_specs()}
    pipeline = definitions.resolve_job_def("pipeline").asset_layer.executable_asset_keys
    refresh = definitions.resolve_job_def("refresh_models").asset_layer.executable_asset_keys
    assert pipeline == everything
    assert everything - refresh == {dg.AssetKey("raw_reviews")}


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # raised inside Dagster, which then says "invalid"
def test_asset_selections_are_parsed(definitions: dg.Definitions) -> None:
    chosen = dg.AssetSelection.from_string("group:training").resolve(definitions.resolve_asset_graph())
    assert {key.to_user_string() for key in chosen} == {"bert_model", "classic_model", "champion_model"}


def test_the_schedule_runs_every_six_hours(definitions: dg.Definitions) -> None:
    assert definitions.resolve_schedule_def("every_six_hours").cron_schedule == "0 */6 * * *"


def test_the_run_options_are_one_typed_block(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("pipeline")
    good = {"resources": {"run_options": {"config": {"force_retrain": True, "skip_deploy": True}}}}
    assert dg.validate_run_config(job, good)
    with pytest.raises(dg.DagsterInvalidConfigError, match="force_retrian"):
        dg.validate_run_config(job, {"resources": {"run_options": {"config": {"force_retrian": True}}}})


def test_definitions_load_with_an_empty_environment_and_without_heavy_libraries() -> None:
    program = (
        "import sys, mlops_assets.definitions as d; "
        "heavy = {'torch', 'transformers', 'sklearn', 'scipy', 'onnxruntime', 'pandas', 'matplotlib', 'ray'}; "
        "print(sorted(heavy & set(sys.modules)), len(list(d.defs.resolve_all_asset_specs())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={}, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] 10"
    assert "PATH" in os.environ  # noqa: TID251  this test's own environment is not the empty one


def test_the_resources_say_what_is_configured_and_no_secret() -> None:
    secrets = {
        "NOTIFY_URLS": "slack://tokenA1/tokenB2/tokenC3",
        "HEARTBEAT_URL": "https://hc.example.com/ping-secret",
        "POSTGRES_PASSWORD": "database-secret",
        "REGISTRY_PASSWORD": "registry-secret",
        "DEPLOY_KEY": "deploy-secret",
    }
    environ = {"POSTGRES_HOST": "db", "POSTGRES_DB": "facts", "POSTGRES_USER": "u", "REGISTRY_USER": "r", **secrets}
    repository = build_definitions(Settings.load(environ, PROJECT)).get_repository_def()
    shown = {}
    for name, resource in repository.get_top_level_resources().items():
        if isinstance(resource, dg.ConfigurableResource) or hasattr(resource, "configurable_resource_cls"):
            shown[name] = str(resource.config_schema.default_value)
    assert {"review_source", "repository", "git_history", "service", "notifier", "dashboards"} <= shown.keys()
    assert "db/facts" in shown["dashboards"]
    assert "slack" in shown["notifier"]
    for value in shown.values():
        for secret in ("tokenA1", "tokenB2", "tokenC3", "secret"):
            assert secret not in value
