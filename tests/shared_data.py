"""Real reviews for tests: not part of the project; where they are absent, the tests that need them skip."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def real_reviews(name: str) -> Path:
    """The path of a file of real reviews, such as `pintu_reviews.csv`."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the project: expected in ../shared/data")
    return path
