import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlops_assets import artifact
from mlops_assets.artifact import TrainedWith
from mlops_assets.params.models import ClassicRecipe
from mlops_assets.serving.models.classic import ClassicModel
from mlops_assets.training.classic import train as classic
from mlops_assets.training.classic.train import train_classic
from tests.unit.training.invented import invented

HARD = [
    "",
    " ",
    "\u200b",
    "😡😡",
    "ﷺ" * 50,
    "a" * 5000,
    "bagus " * 400,
    "İstanbul",
    "=1+1",
    "\ud800",
    "na",
    "tidak\nbagus",
]
RECIPE = ClassicRecipe(trees=30, max_leaf_nodes=30)


@pytest.fixture(scope="module", params=[("negative", "positive"), ("negative", "neutral", "positive")])
def folder(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "classic"
    train_classic(
        invented(700, labels=request.param),
        RECIPE,
        folder,
        trained_with=TrainedWith("d", "binary", "r", "c"),
        run_id="r",
        report=lambda _: None,
        load=ClassicModel.load,
    )
    return folder


def test_it_answers_as_scikit_learn_does_on_the_hardest_texts(folder):
    model = ClassicModel.load(folder)
    frame = invented(700, labels=model.labels)
    train, validation = (frame[frame["side"] == side] for side in ("train", "validation"))
    vote = classic.fit(train, validation, model.labels, RECIPE, lambda _: None)
    texts = [*HARD, *invented(200, seed=9)["review_text"]]
    assert np.abs(model.probabilities(texts) - vote.probabilities(texts)).max() < 1e-12


def test_an_answer_does_not_depend_on_its_batch(folder):
    model = ClassicModel.load(folder)
    texts = [*HARD, *invented(300, seed=3)["review_text"]]
    together = model.probabilities(texts)
    assert together.shape == (len(texts), len(model.labels))
    assert together.sum(axis=1) == pytest.approx(np.ones(len(texts)))
    assert np.array_equal(together, np.concatenate([model.probabilities([text]) for text in texts]))
    assert model.probabilities([]).shape == (0, len(model.labels))


def test_the_golden_sentences_are_answered_as_when_sealed(folder):
    model = ClassicModel.load(folder)
    golden = artifact.read_golden(folder)
    given = model.probabilities([each.text for each in golden])
    assert np.abs(given - np.array([each.probabilities for each in golden])).max() < 1e-12


def test_a_changed_file_is_no_model(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = bytearray((copy / "weights.npz").read_bytes())
    weights[100] ^= 1
    (copy / "weights.npz").write_bytes(weights)
    with pytest.raises(artifact.BrokenArtifact, match=r"weights\.npz not as sealed"):
        ClassicModel.load(copy)


def test_it_loads_without_the_training_stack(folder):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mlops_assets.serving.models.classic import ClassicModel\n"
        f"ClassicModel.load(Path({str(folder)!r})).probabilities(['bagus'])\n"
        "print(sorted({'sklearn', 'scipy', 'pandas', 'torch', 'dagster'} & sys.modules.keys()))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_plain_words_are_answered_by_their_meaning(folder):
    model = ClassicModel.load(folder)
    good, bad = model.probabilities(["bagus mantap", "jelek parah"])
    assert model.labels[int(good.argmax())] == "positive"
    assert model.labels[int(bad.argmax())] == "negative"
