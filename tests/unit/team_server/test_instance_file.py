"""dagster.yaml of the stack: filled in from the environment, with names of secrets and no values."""

from pathlib import Path

import pytest
import yaml

from mlops_assets.failures import PermanentFailure
from mlops_assets.team_server.instance import database_logins, rendered

TEMPLATE = (Path(__file__).parents[3] / "stack" / "dagster.yaml").read_text(encoding="utf-8")
ENVIRON = {
    "PATH": "/bin",
    "CLONE": "/srv/mlops",
    "COMPOSE_PROJECT_NAME": "team",
    "ORCHESTRATOR_IMAGE": "orchestrator:1",
    "STACK_UID": "1001",
    "STACK_GID": "1002",
    "RUN_MEMORY": "4g",
    "RUN_CPUS": "1.5",
    "POSTGRES_USER": "pipeline",
    "POSTGRES_PASSWORD": "c41f09b7d2a86e53",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-s3",
    "GRAFANA_ADMIN_PASSWORD": "not for runs",
    "OPERATE_LOGINS": "not for runs",
}


def test_a_run_gets_secrets_by_name_and_only_those_it_needs() -> None:
    text = rendered(TEMPLATE, ENVIRON)
    launcher = yaml.safe_load(text)["run_launcher"]["config"]
    assert {"POSTGRES_PASSWORD", "AWS_SECRET_ACCESS_KEY", "CLONE"} <= set(launcher["env_vars"])
    assert not {"PATH", "GRAFANA_ADMIN_PASSWORD", "OPERATE_LOGINS"} & set(launcher["env_vars"])
    assert not any(secret in text for secret in ("c41f09b7d2a86e53", "s3cr3t-of-s3", "not for runs"))


def test_a_run_has_the_clone_its_networks_and_its_limits() -> None:
    config = yaml.safe_load(rendered(TEMPLATE, ENVIRON))
    launcher = config["run_launcher"]["config"]
    assert launcher["networks"] == ["team-data", "team-service", "team-engine"]
    kwargs = launcher["container_kwargs"]
    assert kwargs["volumes"] == ["/srv/mlops:/srv/mlops"]
    assert (kwargs["user"], kwargs["mem_limit"], kwargs["nano_cpus"]) == ("1001:1002", "4g", 1_500_000_000)
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == 4


@pytest.mark.parametrize(("name", "value"), [("RUN_CPUS", "many"), ("RUNS_AT_ONCE", "0"), ("RUNS_AT_ONCE", "x")])
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(PermanentFailure, match=f"{name} must be .*'{value}'"):
        rendered(TEMPLATE, {**ENVIRON, name: value})


def test_what_is_not_set_is_named() -> None:
    with pytest.raises(PermanentFailure, match="COMPOSE_PROJECT_NAME, which is not set"):
        rendered(TEMPLATE, {name: value for name, value in ENVIRON.items() if name != "COMPOSE_PROJECT_NAME"})


def test_the_readonly_webserver_knows_only_the_role_that_reads() -> None:
    passwords = {"reader": "r", "prediction_log": "p"}
    logins = database_logins({**ENVIRON, "DATABASE_ROLE": "reader"}, passwords)
    assert logins == {"DAGSTER_PG_USER": "reader", "DAGSTER_PG_PASSWORD": "r"}
    logins = database_logins(ENVIRON, passwords)
    assert (logins["DAGSTER_PG_USER"], logins["PREDICTION_LOG_USER"]) == ("pipeline", "prediction_log")
