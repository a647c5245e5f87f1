"""The forest is grown by threads, of which nothing stays in the process."""

import warnings

import numpy as np
import pytest

from mlops_assets.params.models import ClassicRecipe
from mlops_assets.training.classic.forest import grow


def test_warning_filters_that_scikit_learns_threads_lose_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.sparse import csr_matrix
    from sklearn.ensemble import RandomForestClassifier

    really = RandomForestClassifier.fit

    def fit(self, *given, **options):
        fitted = really(self, *given, **options)
        warnings.resetwarnings()  # the last word of two threads that reset and restore them in turn
        warnings.warn("no filters were propagated", UserWarning, stacklevel=1)
        return fitted

    monkeypatch.setattr(RandomForestClassifier, "fit", fit)
    before = list(warnings.filters)
    present, truth = csr_matrix(np.eye(4, dtype=np.float32)), np.array([0, 1, 0, 1])
    assert len(grow(present, truth, ClassicRecipe(trees=2)).estimators_) == 2
    assert warnings.filters == before
