"""The BERT model in the server: order kept, batches of like length, and an answer that neighbours do not move."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact
from mlops_assets.serving.models.bert import BertModel, batches
from tests.tiny_bert import tiny_frame, train_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("bert")
    train_tiny(root / "model", root / "checkpoints")
    torch.set_num_threads(before)
    return root / "model"


def opened(folder: Path, variant: str) -> BertModel:
    manifest = artifact.read(folder)
    return BertModel(folder, dataclasses.replace(manifest, runtime={**manifest.runtime, "variant": variant}), threads=1)


TEXTS = ["bagus", "", "jelek " * 60, "😡😡", "  BAGUS\u200b ", *tiny_frame()["review_text"].tolist()[:60]]


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_a_text_is_answered_the_same_alone_and_in_any_company(folder: Path, variant: str) -> None:
    model = opened(folder, variant)
    together = model.probabilities(TEXTS)
    alone = np.concatenate([model.probabilities([text]) for text in TEXTS])
    backwards = model.probabilities(TEXTS[::-1])[::-1]

    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together, backwards, atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1)
    np.testing.assert_array_equal(together[0], together[4])


def test_no_texts_are_no_answers(folder: Path) -> None:
    assert opened(folder, "fp32").probabilities([]).shape == (0, 2)


def test_long_texts_are_cut_where_training_cut_them(folder: Path) -> None:
    assert [len(ids) for ids in opened(folder, "fp32").tokenise(["bagus", "bagus " * 100])] == [3, 32]


def test_a_variant_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(BrokenArtifact, match="variant 'fp4' is none of fp32, int8"):
        opened(folder, "fp4")


@given(st.lists(st.integers(2, 128), max_size=80))
def test_batches_hold_every_text_once_within_their_bounds(lengths: list[int]) -> None:
    found = list(batches(lengths, most_tokens=512))

    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        area = max(lengths[index] for index in batch) * len(batch)
        assert area <= 512
        assert area - sum(lengths[index] for index in batch) <= max(0.1 * area, 16)


def test_a_server_tells_nobody_of_its_use(folder: Path, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry names the machine by an identifier that it keeps in the home folder."""
    asked = "import sys, pathlib; from mlops_assets.serving.models.model import load; "
    asked += "load(pathlib.Path(sys.argv[1])).probabilities(['bagus'])"
    subprocess.run([sys.executable, "-c", asked, folder], check=True, env={"HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []
