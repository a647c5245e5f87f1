"""The dashboards as Grafana gets them: what the code writes, readable by panel, with datasources that exist."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.grafana.build import files
from tests.repository import ROOT
from tests.unit.team_server.test_alerts import promtool

GRAFANA = ROOT / "stack" / "grafana"
DASHBOARDS = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in GRAFANA.glob("dashboards/*.json")}


def test_the_files_are_what_the_code_writes() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in GRAFANA.glob("dashboards/*")}
    assert found == files(), "write them anew: .venv/bin/python -m stack.grafana.build"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows_has_a_unit_and_a_known_datasource(name: str) -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/datasources.yml").read_text(encoding="utf-8"))
    known = {one["uid"]: one["type"] for one in provisioned["datasources"]}
    panels = [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]
    assert panels
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert known[target["datasource"]["uid"]] == target["datasource"]["type"], panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_panel_of_months_shows_several_of_them_on_every_day_of_a_month(name: str) -> None:
    """A month's value lies at the month's first day, which a range of two weeks does not hold."""
    for panel in DASHBOARDS[name]["panels"]:
        if any("month::timestamptz AS time" in target.get("rawSql", "") for target in panel.get("targets", ())):
            since = panel.get("timeFrom", DASHBOARDS[name]["time"]["from"].removeprefix("now-"))
            assert since in {"1y", "2y"}, panel["title"]


def test_no_instance_is_zero_and_not_an_empty_panel(tmp_path: Path) -> None:
    (panel,) = (panel for panel in DASHBOARDS["inference.json"]["panels"] if panel["title"] == "Instances up")
    asked = {"expr": panel["targets"][0]["expr"], "eval_time": "1m"}
    up = {"series": 'up{job="model-service", instance="a"}', "values": "1 1"}
    cases = [
        {"input_series": [], "promql_expr_test": [{**asked, "exp_samples": [{"labels": "{}", "value": 0}]}]},
        {"input_series": [up], "promql_expr_test": [{**asked, "exp_samples": [{"labels": "{}", "value": 1}]}]},
    ]
    (tmp_path / "cases.json").write_text(json.dumps({"tests": cases}), encoding="utf-8")
    done = promtool("test", "rules", str(tmp_path / "cases.json"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_over_another(name: str) -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        place = panel["gridPos"]
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        return set(itertools.product(across, down))

    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in itertools.combinations(panels, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert max(x for panel in panels for x, _ in cells(panel)) < 24
