"""The dashboards as Grafana gets them: what the code writes, readable by panel, with datasources that exist."""

import itertools
import json
from typing import Any

import pytest
import yaml

from stack.grafana.build import files
from tests.repository import ROOT

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
