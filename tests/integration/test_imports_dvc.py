"""A file that a person gave to DVC, as their colleague's clone meets it: only the pointer is there."""

import shutil

import pytest

from mlops_assets.failures import TransientFailure
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.steps.take_imports import read_folder, take_imports
from tests.user_clone import git, make_clone, settings_of, sh

APP = "com.valar.pintu"
REVIEWS = """review_id,review_text,rating,review_date
r1,Aplikasinya bagus,5,2026-01-03T00:00:00Z
r2,na,1,2026-01-04T00:00:00Z
"""


@pytest.fixture
def clone(tmp_path):
    """`dvc add`, `dvc push` and a commit by the person; file and cache are then gone, as in a new clone."""
    clone = make_clone(tmp_path / "clone")
    dvc = str(clone / ".venv-dvc" / "bin" / "dvc")
    sh(clone, dvc, "init", "-q")
    sh(clone, dvc, "remote", "add", "-q", "-d", "theirs", str(tmp_path / "theirs"))
    file = clone / "data" / "imports" / "x.csv"
    file.parent.mkdir(parents=True)
    file.write_text(REVIEWS)
    sh(clone, dvc, "add", "-q", "data/imports/x.csv")
    sh(clone, dvc, "push", "-q")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "reviews of a partner")
    file.unlink()
    shutil.rmtree(clone / ".dvc" / "cache")
    return clone


def test_a_file_that_dvc_tracks_is_pulled_and_imported(clone):
    settings = settings_of(clone, APP=APP)
    said = []
    assert take_imports(settings, said.append).months_by_app == {APP: ["2026-01"]}
    rows = ReviewStore(settings.data / "raw").read(APP, "2026-01")
    assert rows["review_text"].tolist() == ["Aplikasinya bagus", "na"]
    assert set(rows["source"]) == {"import"}
    assert said[0] == "pulling x.csv.dvc"
    assert git(clone, "status", "--porcelain", "--", "data") == ""


def test_a_file_whose_data_was_never_pushed_is_a_clear_error(clone):
    shutil.rmtree(clone.parent / "theirs")
    with pytest.raises(TransientFailure, match=r"dvc pull of x\.csv\.dvc failed.*push the file's data"):
        read_folder(settings_of(clone, APP=APP))
