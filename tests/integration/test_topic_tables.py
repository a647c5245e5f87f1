"""Topics in a real PostgreSQL: every panel of Grafana has an answer, and only months that changed are written."""

import json
import re

import pytest

from mlops_assets.steps.refresh_dashboards import Dashboards
from tests.integration.postgres_server import Postgres
from tests.repository import ROOT
from tests.unit.reviews.rows import APP
from tests.unit.reviews.topics.invented import complaints, everything
from tests.unit.steps.topics.place import Place, no_model, two_releases

__all__ = ["no_model"]  # a fixture

PANELS = {
    panel["title"]: panel["targets"][0]["rawSql"]
    for panel in json.loads((ROOT / "stack/grafana/dashboards/reviews.json").read_text(encoding="utf-8"))["panels"]
    if "topic" in json.dumps(panel.get("targets", []))
}


@pytest.fixture
def place(tmp_path, no_model) -> Place:
    return two_releases(tmp_path)


def refresh(place: Place, postgres: Postgres) -> None:
    settings = place.settings_with(**postgres.environment)
    refreshed = Dashboards.of(settings).refresh()
    assert refreshed.trouble == ""


def test_topics_are_written_month_by_month_and_every_panel_has_an_answer(place: Place, postgres: Postgres) -> None:
    refresh(place, postgres)
    total = len([*everything(20, seed=1), *everything(8, seed=2), *complaints("login", 60, seed=5)])
    assert postgres.rows("SELECT sum(reviews) FROM facts.topic_counts") == [(total,)]
    low, high = postgres.rows("SELECT facts.wilson(1, 4, -1), facts.wilson(1, 4, 1)")[0]
    assert (round(low, 3), round(high, 3)) == (0.046, 0.699)
    assert postgres.rows("SELECT facts.wilson(0, 0, 1)") == [(None,)]
    assert len(PANELS) == 6
    for title, query in PANELS.items():
        asked = re.sub(r"\$__timeFilter\([^()]*\)", "TRUE", query).replace("$app", f"'{APP}'")
        if "positive" not in title.lower():
            assert postgres.rows(asked), title
    compared = re.sub(r"\$__timeFilter\([^()]*\)", "TRUE", PANELS["Two newest releases compared"])
    first, rose, *_ = postgres.rows(compared.replace("$app", f"'{APP}'"))
    assert first[1] == "negative reviews"
    assert rose[6] > rose[7] > 0

    times = dict(postgres.rows("SELECT part, at FROM facts.topics_synced"))
    example = postgres.rows("SELECT examples FROM facts.topics WHERE position = 1")[0][0].split("\n")[0]
    place.month("2026-02", everything(8, seed=2), version="1.1")
    place.find()
    refresh(place, postgres)
    after = dict(postgres.rows("SELECT part, at FROM facts.topics_synced"))
    assert after[f"{APP}/2026-01"] == times[f"{APP}/2026-01"]
    assert after[f"{APP}/2026-02"] > times[f"{APP}/2026-02"]
    counted = postgres.rows("SELECT sum(reviews) FROM facts.topic_counts WHERE month = '2026-02-01'")
    assert counted == [(len(everything(8, seed=2)),)]

    for month in ("2026-01", "2026-02"):
        place.without(month, example)
    refresh(place, postgres)
    assert example not in str(postgres.rows("SELECT examples FROM facts.topics"))
