"""Why a model that is only as good would still be wanted."""

import json
from pathlib import Path

import pytest

from mlops_assets import artifact
from mlops_assets.steps.choose import _why_wanted
from tests.fakes.tiny_model import seal_tiny_model

DATA = "d" * 12


@pytest.fixture
def int8(tmp_path: Path) -> Path:
    """A model whose manifest says that int8 serves; it is never opened here."""
    seal_tiny_model(tmp_path / "model", dataset_version=DATA)
    path = tmp_path / "model" / artifact.MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    trained_with = {**manifest["trained_with"], "training_data": DATA}
    changed = {**manifest, "trained_with": trained_with, "runtime": {"variant": "int8"}}
    path.write_text(json.dumps(changed), encoding="utf-8")
    return tmp_path / "model"


def test_an_int8_model_is_to_give_way_where_a_gpu_serves(int8: Path, tmp_path: Path) -> None:
    live = artifact.model_version(int8)
    assert _why_wanted(int8, DATA, live, forced=False, on_gpu=False) is None
    assert _why_wanted(int8, "e" * 12, live, forced=False, on_gpu=False) == "the data changed"
    assert "int8" in str(_why_wanted(int8, DATA, live, forced=False, on_gpu=True))
    classic = seal_tiny_model(tmp_path / "classic", dataset_version=DATA)
    assert _why_wanted(tmp_path / "classic", "", classic, forced=False, on_gpu=True) is None
