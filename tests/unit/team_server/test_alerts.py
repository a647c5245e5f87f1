"""The alert rules: promtool's own tests of them pass, and each rule is seen firing and not firing."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "stack" / "prometheus"


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def alerts() -> dict[str, dict[str, Any]]:
    rules = [rule for group in read("rules/alerts.yml")["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
            pytest.fail("REQUIRE_DOCKER=1, but there is no promtool: apt-get install prometheus")
        pytest.skip("no promtool on this machine: apt-get install prometheus")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=FOLDER)


@pytest.mark.slow
def test_every_alert_fires_and_stays_quiet_as_its_tests_say() -> None:
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_configuration_and_rules() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


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
