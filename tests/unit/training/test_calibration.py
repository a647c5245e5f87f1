import numpy as np
import pytest

from mlops_assets.training import calibration


def drawn(rows: int, sharpen: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right when raised to `1 / sharpen`, with labels drawn from the right ones."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([1.0, 1.0, 1.0], rows)
    truth = np.array([rng.choice(3, p=row) for row in true])
    return calibration.apply_temperature(true, 1 / sharpen), truth


@pytest.mark.parametrize("sharpen", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_how_much_too_sure_a_model_is(sharpen):
    probabilities, truth = drawn(4000, sharpen)
    temperature = calibration.fit_temperature(probabilities, truth)
    assert temperature == pytest.approx(sharpen, rel=0.1)
    calibrated = calibration.apply_temperature(probabilities, temperature)
    assert calibration.expected_calibration_error(calibrated, truth) < 0.03


def test_temperature_keeps_the_order_and_the_sum():
    probabilities, _ = drawn(50, 1)
    softened = calibration.apply_temperature(probabilities, 3)
    assert (softened.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert softened.sum(axis=1) == pytest.approx(np.ones(50))
    assert (softened.max(axis=1) <= probabilities.max(axis=1) + 1e-12).all()


@pytest.mark.parametrize(("rows", "fitted"), [(calibration.LEAST_ROWS - 1, False), (calibration.LEAST_ROWS, True)])
def test_too_few_reviews_leave_the_temperature_alone(rows, fitted):
    probabilities, truth = drawn(rows, 3)
    assert (calibration.fit_temperature(probabilities, truth) != 1) == fitted


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy():
    sure = np.tile([0.9, 0.1], (100, 1))
    assert calibration.expected_calibration_error(sure, np.repeat([0, 1], [90, 10])) == pytest.approx(0, abs=1e-9)
    assert calibration.expected_calibration_error(sure, np.repeat([0, 1], [40, 60])) == pytest.approx(0.5)


@pytest.mark.parametrize(("rows", "bins"), [(0, 0), (1, 1), (39, 1), (40, 2), (1000, 10)])
def test_a_reliability_bin_holds_about_twenty_answers_where_there_are_so_many(rows, bins):
    probabilities, truth = drawn(rows, 1)
    table = calibration.reliability(probabilities, truth)
    assert len(table) == bins
    assert sum(b.n for b in table) == rows


def test_answers_of_equal_confidence_share_a_bin():
    table = calibration.reliability(np.tile([0.8, 0.2], (200, 1)), np.repeat([0, 1], 100))
    assert [(b.n, b.accuracy) for b in table] == [(200, 0.5)]
