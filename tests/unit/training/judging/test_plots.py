import pytest

from mlops_assets.training.judging import plots

POINT = {"n": 100, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9]}


@pytest.mark.parametrize(
    "picture",
    [
        lambda: plots.confusion_matrix({"side": "test", "labels": ["a", "b"], "counts": [[3, 1], [0, 4]]}),
        lambda: plots.confusion_matrix({"side": "test", "labels": ["a", "b"], "counts": []}),
        lambda: plots.reliability([{"n": 20, "confidence": 0.6, "accuracy": 0.5}]),
        lambda: plots.reliability([]),
        lambda: plots.learning_curve([{"rows": 100, **POINT}, {"rows": 200, **POINT}]),
        lambda: plots.learning_curve([{"rows": 100, **POINT, "accuracy_interval": None}]),
        lambda: plots.learning_curve([]),
        lambda: plots.training_curve([(10, 0.7), (20, 0.5)], [{"accuracy": 0.7}, {"accuracy": 0.8}]),
        lambda: plots.training_curve([], []),
    ],
)
def test_a_picture_is_a_small_png_even_of_little(picture):
    png = picture()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 60_000
