"""How often a run of the whole pipeline reads each stored review."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from tests.review_reads import ReviewReads
from tests.user_clone import free_port, make_clone, settings_of

CLOCK = "2026-04-15T00:00:00Z"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def clone(tmp_path: Path, port: int) -> Iterator[Path]:
    yield make_clone(tmp_path / "clone")
    Service(ProcessBackend(tmp_path / "clone" / ".serving", port)).stop()


def test_a_run_reads_each_review_at_most_three_times_and_one_with_nothing_new_reads_none(
    clone: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run judges drift for the champion that the first one chose; nothing is new to the third."""
    reads = [_reads_of_a_run(clone, port, monkeypatch) for _ in range(3)]
    assert len(reads[0].of_review) > 900
    # Validation, claims and spikes each read a month. Whoever follows in this process finds what the claims read.
    assert reads[0].most <= 3, reads[0].of_file
    assert reads[1].most <= 1, reads[1].of_file
    assert reads[2].most == 0, reads[2].of_file


def _reads_of_a_run(clone: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> ReviewReads:
    with monkeypatch.context() as patched:
        reads = ReviewReads(patched)
        assert run_pipeline(settings_of(clone, NOW=CLOCK, PORT=str(port))) == 0
    return reads
