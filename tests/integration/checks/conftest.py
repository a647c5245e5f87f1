"""The clone that each test of the checks breaks a copy of."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore
from tests.fakes.version_repository import FakeVersionRepository
from tests.integration.checks.checked_clone import APP, NOW, REVIEWS, CheckedClone, failed
from tests.shared_data import SHARED_DATA
from tests.user_clone import make_clone


@pytest.fixture(scope="session")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> CheckedClone:
    """Real reviews where they are at hand, whose dates are dealt anew: time alone tells nothing of them."""
    folder = tmp_path_factory.mktemp("checks")
    clone = CheckedClone(make_clone(folder / "clone"), FakeVersionRepository(folder / "pipeline"))
    rows = _some_reviews()
    days = np.random.default_rng(0).permutation(len(rows)) % 90
    dates = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(days, unit="D")
    rows = rows.assign(
        app_id=APP,
        source="file",
        review_date=dates,
        scraped_at=pd.Timestamp(NOW),
        reply_date=pd.NaT,
        deleted_at=pd.NaT,
    )
    ReviewStore(clone.root / "data" / "raw").upsert(APP, columns.conform(rows))
    result = clone.run()
    assert failed(result) == set()
    assert len(clone.repository.commits) == 1
    return clone


def _some_reviews() -> pd.DataFrame:
    real = SHARED_DATA / "gojek_reviews.csv"
    if real.exists():
        return read_reviews(real, known_apps=("com.gojek.app",), app_id="com.gojek.app").frame.head(REVIEWS)
    months = [sample.generate(f"2026-{month:02d}") for month in range(1, 10)]
    return pd.concat(months, ignore_index=True).head(REVIEWS)


@pytest.fixture
def clone(versioned: CheckedClone, tmp_path: Path) -> CheckedClone:
    """A copy of the clone, and of its version."""
    root, pipeline = tmp_path / "clone", tmp_path / "pipeline"
    shutil.copytree(versioned.root, root, symlinks=True)
    shutil.copytree(versioned.repository.folder, pipeline)
    repository = FakeVersionRepository(pipeline, commits=list(versioned.repository.commits))
    return CheckedClone(root, repository)
