"""A model is trained again when the code that makes it changes, and only then."""

from pathlib import Path

import pytest

from mlops_assets import code_version as module
from mlops_assets.training.kinds import BERT, CLASSIC


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> Path:
    """A package of two models that share one module."""
    folder = tmp_path / "training"
    (folder / "classic").mkdir(parents=True)
    (folder / "bert").mkdir()
    (folder / "classic" / "train.py").write_text(
        "def fit():\n    from mlops_assets.training import shared\n    return shared\n"
    )
    (folder / "bert" / "train.py").write_text("from mlops_assets.text import normalise\n")
    (folder / "shared.py").write_text("A = 1\n")
    (tmp_path / "text.py").write_text("B = 1\n")
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    return tmp_path


def test_a_change_in_a_module_imported_inside_a_function_changes_that_model_s_code_alone(package):
    classic, bert = CLASSIC.code(), BERT.code()
    (package / "training" / "shared.py").write_text("A = 2\n")
    assert CLASSIC.code() != classic
    assert BERT.code() == bert


def test_comments_and_layout_are_not_code(package):
    before = BERT.code()
    (package / "training" / "bert" / "train.py").write_text(
        "# why\n\nfrom mlops_assets.text import (\n    normalise,\n)\n"
    )
    assert BERT.code() == before


def test_the_text_functions_belong_to_both_models():
    assert CLASSIC.code() != BERT.code()
    assert {"mlops_assets.text", "mlops_assets.artifact"} <= module.imported_code(
        "mlops_assets.training.classic.train"
    ).keys()
