"""People label on the page, and the next version trains with their labels."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mlops_assets.cli.label import command
from mlops_assets.cli.label.numbers import progress_of
from mlops_assets.cli.label.page import LabelPage, guarded
from mlops_assets.cli.label.texts import label_queue
from mlops_assets.outside import build
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.serving.log.prediction_store import open_store
from mlops_assets.steps.version import labelled_counts, usable_reviews
from tests.integration.sharing_clones import Clone
from tests.user_clone import make_clone

pytestmark = pytest.mark.usefixtures("home")
URL = "http://127.0.0.1:3001"


def test_a_label_on_the_page_changes_what_the_next_version_trains_with(tmp_path: Path, capsys) -> None:
    clone = Clone(make_clone(tmp_path / "clone"))
    first = clone.run("one")
    settings = clone.settings()
    repository = build(settings)["repository"]
    before = labelled_counts(settings, repository).training_data
    reviews = usable_reviews(settings, repository).set_index("review_text")
    queue = label_queue(settings, repository, lambda _: None)
    page = LabelPage(lambda: queue, LabelTable(settings.data / "labels"), settings.now)
    client = TestClient(guarded(page.app(), URL, ""), base_url=URL)

    answers, state = dict[str, str](), client.post("/state", json={"by": "Ani"}).json()
    while waiting := state["waiting"]:
        other = {"positive": "negative", "negative": "positive"}[reviews["label"][waiting["review"]]]
        answers[waiting["review"]] = other
        body = {"by": "Ani", "text": waiting["text"], "answer": other}
        state = client.post("/label", json=body).json()
    assert len(answers) == len(reviews) == 10

    second = clone.run("one")
    assert second.dataset_version != first.dataset_version
    repository = build(settings)["repository"]
    relabelled = usable_reviews(settings, repository).set_index("review_text")
    assert relabelled["label"].to_dict() == answers
    assert labelled_counts(settings, repository).training_data != before
    assert clone.run("one").commit == second.commit

    command.exchange(settings, file="", to=str(tmp_path), by="")
    assert "Labels: 10 texts labelled" in capsys.readouterr().out
    exported = (tmp_path / "labels.csv").read_text("utf-8-sig").replace(",Ani,", ",Budi,")
    (tmp_path / "theirs.csv").write_text(exported)
    command.exchange(settings, file=str(tmp_path / "theirs.csv"), to="", by="")
    assert "10 labels taken in" in capsys.readouterr().out
    assert progress_of(settings, repository).agreement.alike == 10


def test_feedback_to_the_service_is_labels_of_the_next_version(tmp_path: Path) -> None:
    clone = Clone(make_clone(tmp_path / "clone"))
    log = tmp_path / "log.sqlite"
    store = open_store(f"sqlite:{log}")
    row = ("r1", "2026-04-01T00:00:00+00:00", "shop", "positive", 1.0, "{}", 4, "Mantap one 1", "m", "d")
    store.write([row])
    store.attach("r1", "negative", "shop", datetime(2026, 4, 2, tzinfo=UTC).isoformat())
    store.close()
    clone.run_assets("one", PREDICTION_LOG=str(log))
    settings = clone.settings()
    reviews = usable_reviews(settings, build(settings)["repository"]).set_index("review_text")
    assert reviews["person"].dropna().to_dict() == {"mantap one 1": "negative"}
