"""Doubtful labels: those that a model which never saw the text does not expect."""

from mlops_assets.params.models import ClassicRecipe
from mlops_assets.training.classic.noise import self_confidence

RECIPE = ClassicRecipe()


def test_a_wrong_label_is_the_most_doubtful():
    texts = [f"{'mantap bagus' if n % 2 else 'jelek gagal'} sekali nomor {n}" for n in range(60)]
    labels = ["positive" if n % 2 else "negative" for n in range(60)]
    labels[7] = "negative"
    confidence = self_confidence(texts, labels, RECIPE)
    assert confidence is not None
    assert confidence.keys() == set(range(60))
    assert min(confidence, key=lambda number: confidence[number]) == 7
    assert confidence == self_confidence(texts, labels, RECIPE)


def test_too_few_texts_or_one_label_say_nothing():
    assert self_confidence(["bagus", "jelek"], ["positive", "negative"], RECIPE) is None
    assert self_confidence([f"bagus {n}" for n in range(60)], ["positive"] * 60, RECIPE) is None
