"""Feedback to the service becomes labels where the text is a stored review's."""

from pathlib import Path

from mlops_assets.reviews.labels.agreed import agreed
from mlops_assets.reviews.labels.feedback import take_feedback
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.serving.options import ServerOptions
from mlops_assets.text import text_digest

AT = "2026-11-01T00:00:00+00:00"


def test_named_callers_label_stored_texts_once(tmp_path: Path):
    table, known = LabelTable(tmp_path), {text_digest("bagus"), text_digest("hubungi [phone]")}
    rows = [
        ("Bagus", "negative", "shop", AT),
        ("hubungi 0812-3456-7890", "positive", "shop", AT),
        ("nobody wrote this", "positive", "shop", AT),
        ("bagus", "positive", "anonymous", AT),
    ]
    assert take_feedback(rows, table, known, "anonymous") == 2
    assert take_feedback(rows, table, known, "anonymous") == 0
    assert agreed(table.given()) == {text_digest("bagus"): "negative", text_digest("hubungi [phone]"): "positive"}
    assert {(each.by, each.how) for each in table.given()} == {("shop", "feedback")}


def test_feedback_by_the_longest_name_that_a_key_may_have_counts(tmp_path: Path):
    key = "k" * 64
    assert ServerOptions.from_environment({"API_KEYS": f"{key}:{'0' * 64}"}).api_keys.keys() == {key}
    rows = [("bagus", "negative", key, AT)]
    assert take_feedback(rows, LabelTable(tmp_path), {text_digest("bagus")}, "anonymous") == 1
