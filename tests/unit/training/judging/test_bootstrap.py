import numpy as np
import pytest

from mlops_assets.training.judging import bootstrap


def test_the_interval_of_an_accuracy_is_that_of_its_binomial():
    cells = np.array([0] * 800 + [1] * 200)
    drawn = bootstrap.resampled_counts(cells, 2, rounds=4000)
    assert (drawn.sum(axis=1) == 1000).all()
    low, high = bootstrap.interval(drawn[:, 0] / 1000)
    reach = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert (low, high) == pytest.approx((0.8 - reach, 0.8 + reach), abs=0.003)


def test_drawing_whole_texts_is_drawing_rows_where_no_text_repeats():
    cells = np.random.default_rng(1).integers(0, 4, 300)
    by_row = bootstrap.resampled_counts(cells, 4, rounds=3000)
    by_text = bootstrap.resampled_counts(cells, 4, texts=[f"t{n}" for n in range(300)], rounds=3000)
    assert by_text.mean(axis=0) == pytest.approx(by_row.mean(axis=0), abs=1)
    assert by_text.std(axis=0) == pytest.approx(by_row.std(axis=0), rel=0.1)


def test_a_repeated_text_is_one_piece_of_evidence():
    cells = np.array([0] * 100 + [1] * 100)
    alone = bootstrap.interval(bootstrap.resampled_counts(cells, 2)[:, 0] / 200)
    texts = [f"t{n // 10}" for n in range(200)]
    together = bootstrap.resampled_counts(cells, 2, texts=texts)
    repeated = bootstrap.interval(together[:, 0] / together.sum(axis=1))
    assert repeated[1] - repeated[0] == pytest.approx(np.sqrt(10) * (alone[1] - alone[0]), rel=0.15)


def test_a_seed_gives_the_same_resamples():
    cells = np.arange(50) % 3
    first = bootstrap.resampled_counts(cells, 3, seed=5)
    assert (first == bootstrap.resampled_counts(cells, 3, seed=5)).all()
    assert (first != bootstrap.resampled_counts(cells, 3, seed=6)).any()


def test_scores_of_confusion_counts_are_scikit_learn_s():
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(2)
    truth, answered = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    counts = np.bincount(truth * 3 + answered, minlength=9).reshape(3, 3)
    assert bootstrap.accuracy_of(counts) == pytest.approx(accuracy_score(truth, answered))
    assert bootstrap.f1_of(counts) == pytest.approx(f1_score(truth, answered, average=None))
    assert bootstrap.macro_f1_of(counts) == pytest.approx(f1_score(truth, answered, average="macro"))


def test_a_label_that_does_not_occur_has_no_f1_and_nothing_has_no_score():
    counts = np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]])
    assert np.isnan(bootstrap.f1_of(counts)[2])
    assert bootstrap.macro_f1_of(counts) == 1
    assert np.isnan(bootstrap.accuracy_of(np.zeros((2, 2))))
    assert np.isnan(bootstrap.macro_f1_of(np.zeros((2, 2))))
    assert np.isnan(bootstrap.interval(np.array([np.nan]))).all()


def test_resampled_means_move_as_resampled_counts_do():
    rng = np.random.default_rng(3)
    right = (rng.random(400) < 0.7).astype(int)
    texts = np.arange(400) // 4
    means = bootstrap.resampled_means(right.astype(float), texts=texts.tolist(), seed=1)
    counts = bootstrap.resampled_counts(right, 2, texts=texts.tolist(), seed=2)
    shares = counts[:, 1] / counts.sum(axis=1)
    assert means.shape == (2000,)
    assert bootstrap.interval(means) == pytest.approx(bootstrap.interval(shares), abs=0.01)
    assert (bootstrap.resampled_means(right.astype(float), texts=texts.tolist(), seed=1) == means).all()


def test_means_over_many_texts_are_as_wide_as_the_draws(monkeypatch):
    rng = np.random.default_rng(4)
    texts = rng.integers(0, 500, 2000).tolist()
    values = rng.exponential(size=2000)
    drawn = bootstrap.resampled_means(values, texts=texts)
    monkeypatch.setattr(bootstrap, "MANY_TEXTS", 100)
    normal = bootstrap.resampled_means(values, texts=texts)
    assert normal.std() == pytest.approx(drawn.std(), rel=0.1)
    assert normal.mean() == pytest.approx(drawn.mean(), abs=0.01)
