import numpy as np
import pytest

from mlops_assets.training.judging import calibration


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


def test_chance_gives_a_calibrated_model_its_error_and_less_of_it_the_more_reviews():
    rng = np.random.default_rng(1)
    limits, above = [], 0
    for n in (100, 1000, 10_000):
        sure = rng.uniform(0.5, 1, n)
        given = np.column_stack([1 - sure, sure])
        limits.append(calibration.error_by_chance(given, np.arange(n)))
        for _ in range(40):
            truth = (rng.random(n) < sure).astype(int)
            above += calibration.expected_calibration_error(given, truth) > limits[-1]
    assert limits == sorted(limits, reverse=True)
    assert 0 < above <= 15  # of 120, of which one in twenty is expected


def test_repeats_of_one_text_are_right_or_wrong_together():
    given = np.tile([0.3, 0.7], (200, 1))
    assert calibration.error_by_chance(given, np.zeros(200)) == pytest.approx(0.7)
    assert calibration.error_by_chance(given, np.arange(200)) < 0.1
    assert calibration.error_by_chance(np.zeros((0, 2)), []) == 0
