"""A trial in a fresh clone, as in CI: the branch has the data, and `.pipeline/data` has none of it."""

import shutil
from pathlib import Path

import pytest

from mlops_assets.steps.deciding.trial import bring_data
from tests.user_clone import QUICK_DVC, UserClone

pytestmark = pytest.mark.usefixtures("home")


def test_the_newest_versions_data_is_brought_and_the_branch_stays(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    repository = user.repository()
    user.version_data(repository)
    tip = user.git("rev-parse", "pipeline")
    shutil.rmtree(repository.data_folder)

    bring_data(repository)

    found = {path.relative_to(repository.data_folder).as_posix() for path in repository.data_folder.rglob("*.parquet")}
    assert found == {f"{stage}/{name}" for stage in ("raw", "validated") for name in user.months}
    assert user.git("rev-parse", "pipeline") == tip


def test_what_a_run_staged_stays_as_it_is(tmp_path: Path) -> None:
    user = UserClone(tmp_path / "user", dvc=QUICK_DVC)
    repository = user.repository()
    user.version_data(repository)
    lost = next((repository.data_folder / "raw").rglob("*.parquet"))
    lost.unlink()

    bring_data(repository)

    assert not lost.exists()
