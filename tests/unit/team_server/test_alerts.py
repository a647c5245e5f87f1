"""The alert rules: promtool's own tests of them pass, and each rule is seen firing and not firing."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.reporting.alerts import SILENCE_ACTION

FOLDER = Path(__file__).parents[3] / "stack" / "prometheus"


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def alerts() -> dict[str, dict[str, Any]]:
    rules = [rule for group in read("rules/alerts.yml")["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("promtool", "prometheus", *arguments)


def run(program: str, package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in the folder of the rules; a skip without it."""
    if shutil.which(program) is None:
        said = f"no {program} on this machine: apt-get install {package}"
        if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
            pytest.fail(f"REQUIRE_DOCKER=1, but {said}")
        pytest.skip(said)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=FOLDER)


@pytest.mark.slow
def test_every_alert_fires_and_stays_quiet_as_its_tests_say() -> None:
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_configuration_and_rules() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_lint_clean_and_alertmanager_takes_its_configuration() -> None:
    rules = sorted(map(str, FOLDER.glob("rules/*.yml")))
    for done in (
        promtool("check", "rules", "--lint=all", "--lint-fatal", *rules),
        run("amtool", "prometheus-alertmanager", "check-config", "../alertmanager/alertmanager.yml"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_line_in_the_runbook_with_the_words_of_the_message() -> None:
    lines = (FOLDER.parents[1] / "docs" / "dashboards.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    runbook = {row[0].strip(" `"): (row[2].strip(), row[3].strip()) for row in rows}
    expected = {name: (rule["labels"]["severity"], rule["annotations"]["action"]) for name, rule in alerts().items()}
    assert runbook == expected | {"AlertsDoNotArrive": ("page", SILENCE_ACTION)}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = [case for test in read("alerts_test.yml")["tests"] for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == set(alerts())
    assert quiet == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_is_wrong_what_to_do_and_how_urgent_it_is(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["action"].endswith(".")
