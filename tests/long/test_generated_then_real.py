"""The order of the README: first the generated reviews, then a file of a real app, here one that teaches nothing."""

import json
from pathlib import Path

import httpx
import pytest

from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from tests.user_clone import free_port, make_clone, settings_of

pytestmark = pytest.mark.long

APP = "com.example.app"


def test_the_generated_reviews_model_serves_on_says_so_and_no_empty_side_breaks_the_run(tmp_path: Path) -> None:
    root, port = make_clone(tmp_path / "clone"), free_port()
    url = f"http://127.0.0.1:{port}"
    reviews = tmp_path / "one_text.csv"
    rows = [f"bagus,{5 if n % 3 else 1},2026-01-{n + 1:02d} 10:00:00" for n in range(20)]
    reviews.write_text("\n".join(["review_text,rating,review_date", *rows]) + "\n", encoding="utf-8")
    try:
        assert run_pipeline(settings_of(root, NOW="2026-02-15T00:00:00Z", PORT=str(port))) == 0
        first = _latest(root)
        real = {"NOW": "2026-03-15T00:00:00Z", "PORT": str(port), "APP": APP, "REVIEWS": str(reviews)}
        assert run_pipeline(settings_of(root, **real)) == 0
        answers = [
            httpx.post(f"{url}/predict", json={"text": "bagus"}, timeout=60).json(),
            httpx.post(f"{url}/predict/batch", json={"texts": ["bagus"]}, timeout=60).json(),
            httpx.get(f"{url}/model/info", timeout=60).json(),
        ]
    finally:
        Service(ProcessBackend(root / ".serving", port)).stop()

    second = _latest(root)
    (warning,) = {answer["warning"] for answer in answers}
    assert "trained on generated reviews" in warning
    assert first["live"]["warning"] == second["live"]["warning"] == warning
    for suffix in ("md", "html"):
        text = (root / ".dagster" / "summaries" / f"{second['run_id']}.{suffix}").read_text(encoding="utf-8")
        assert f"Warning: {warning}." in text
    champion = second["champion"]
    assert champion["model_version"] == first["champion"]["model_version"] == answers[0]["model_version"]
    assert not champion["promoted"]
    told = f"was trained on generated reviews, not on those of {APP}, so it has no say: it serves all the same"
    assert told in champion["reason"]
    assert second["status"] == "SUCCESS"
    assert {row["status"] for row in second["stages"][:6]} == {"done"}
    assert (second["outputs"]["bert_accuracy"], second["outputs"]["traditional_accuracy"]) == (None, None)


def _latest(root: Path) -> dict:
    return json.loads((root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))
