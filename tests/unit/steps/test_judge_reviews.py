"""What a version must be like: judged once for each content, and refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.quality import claims, quality
from mlops_assets.reviews.sources.review_source import AppStatus, SampleSource
from mlops_assets.reviews.stored import columns, months
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_reviews import (
    BLOCKING,
    WARNING,
    Evidence,
    blocking_claims,
    refuse_broken,
    warning_claims,
)
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.version_data import Base
from tests.fakes.version_repository import FakeVersionRepository
from tests.review_reads import ReviewReads
from tests.unit.reviews.rows import frame, review


def sample_rows(count: int, **values: object):
    stars = [5, 1, 4, 2, 5]
    rows = [
        review(f"r{n}", app_id=SAMPLE_APP, source="sample", review_text=f"aplikasi {n}", rating=stars[n % 5], **values)
        for n in range(count)
    ]
    return frame(*rows)


@pytest.fixture
def settings(tmp_path) -> Settings:
    params = {"apps": ["com.example.app"], "source": "sample", "labels": "binary"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    settings = Settings.load({"NOW": "2026-03-10T12:00:00Z"}, tmp_path)
    for part in ("raw", "validated"):
        columns.write_frame(sample_rows(200), settings.data / part / SAMPLE_APP / "2026-01.parquet")
    return settings


@pytest.fixture
def repository(tmp_path) -> FakeVersionRepository:
    return FakeVersionRepository(tmp_path / "clone")


def evidence(settings: Settings, repository: Any) -> Evidence:
    """As a new process sees it."""
    months._remembered = months._Remembered()
    return Evidence(settings, SampleSource(settings.now), repository)


def last_version(repository: FakeVersionRepository, rows) -> None:
    columns.write_frame(rows, repository.folder / "data" / "validated" / SAMPLE_APP / "2026-01.parquet")
    repository.commits.append({"commit": "a" * 40, "files": {}, "trailers": {}})


def reasons(found) -> dict[str, tuple[bool, str]]:
    return {name: (claim.passed, claim.reason) for name, claim in found.items()}


def broken(settings: Settings, repository: FakeVersionRepository) -> set[str]:
    return {name for name, claim in blocking_claims(evidence(settings, repository)).items() if not claim.passed}


def test_ordinary_reviews_break_no_claim_and_every_claim_is_judged(settings, repository):
    found = evidence(settings, repository)
    assert list(blocking_claims(found)) == list(BLOCKING)
    assert set(warning_claims(found)) == set(WARNING)
    assert broken(settings, repository) == set()
    refuse_broken(found, [])


def test_the_same_content_is_judged_once_and_other_content_again(settings, repository, monkeypatch):
    first = blocking_claims(evidence(settings, repository))
    warned = warning_claims(evidence(settings, repository))
    with monkeypatch.context() as nothing_is_judged:
        for module, name in [(claims, "judge"), (quality, "quarantine_is_small"), (quality, "texts_are_varied")]:
            nothing_is_judged.setattr(module, name, None)
        assert reasons(blocking_claims(evidence(settings, repository))) == reasons(first)
        assert reasons(warning_claims(evidence(settings, repository))) == reasons(warned)
    columns.write_frame(sample_rows(150), settings.data / "validated" / SAMPLE_APP / "2026-01.parquet")
    assert blocking_claims(evidence(settings, repository))["reviews_are_not_empty"].reason == "150 usable reviews"


def test_a_new_month_is_judged_without_reading_the_older_ones(settings, repository, monkeypatch):
    folder = settings.data / "validated" / SAMPLE_APP
    for month in ("2025-06", "2025-07"):
        rows = sample_rows(100).assign(review_date=f"{month}-10", review_id=[f"{month}-{n}" for n in range(100)])
        columns.write_frame(columns.conform(rows), folder / f"{month}.parquet")
    files = months.files_below(settings.data / "validated")
    repository.stage_data(files, files)
    repository.commit_data("run", "three months")
    assert broken(settings, repository) == set()
    rows = sample_rows(100).assign(review_date="2026-02-10", review_id=[f"new-{n}" for n in range(100)])
    columns.write_frame(columns.conform(rows), folder / "2026-02.parquet")
    reads = ReviewReads(monkeypatch)
    assert broken(settings, repository) == set()
    # The last 90 days of the last version say whether the share jumped.
    assert {Path(path).name for path in reads.of_file} == {"2026-01.parquet", "2026-02.parquet"}
    assert reads.most <= 3


def test_without_a_usable_review_one_claim_is_broken(settings, repository):
    for path in (settings.data / "validated").rglob("*.parquet"):
        path.unlink()
    assert broken(settings, repository) == {"reviews_are_not_empty"}


@pytest.mark.parametrize("content", ["", "{", "[]", "[1]", '{"blocking": 3}', '{"blocking": {"key": 1}}'])
def test_a_damaged_record_of_claims_is_judged_again(settings, repository, content):
    first = blocking_claims(evidence(settings, repository))
    for name in ("claims.json", "facts_of_months.json"):
        (settings.instance_folder / name).write_text(content, encoding="utf-8")
    assert reasons(blocking_claims(evidence(settings, repository))) == reasons(first)


def test_another_rule_for_labels_is_another_judgement(settings, repository):
    three_stars = sample_rows(200).assign(rating=3)
    columns.write_frame(columns.conform(three_stars), settings.data / "validated" / SAMPLE_APP / "2026-01.parquet")
    share = blocking_claims(evidence(settings, repository))["positive_share_is_normal"]
    assert share.reason == "no labelled review to judge"
    params = settings.root / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("binary", "ternary"), encoding="utf-8")
    settings = Settings.load({"NOW": "2026-03-10T12:00:00Z"}, settings.root)
    assert "200 labelled" in blocking_claims(evidence(settings, repository))["positive_share_is_normal"].reason


def test_a_review_that_vanished_from_raw_and_validated_is_lost_until_it_is_erased(settings, repository):
    last_version(repository, sample_rows(201))
    assert broken(settings, repository) == {"no_review_is_lost"}
    last_version(repository, sample_rows(200))
    assert broken(settings, repository) == set()


def test_a_version_that_starts_anew_says_so_beside_what_is_lost(settings, repository, monkeypatch):
    monkeypatch.setattr(repository, "base", lambda: Base(None, anew="the branch pipeline was made anew"))
    assert blocking_claims(evidence(settings, repository))["no_review_is_lost"].reason.startswith(
        "the branch pipeline was made anew; "
    )


def test_one_cause_is_one_alarm(settings, repository):
    last_version(repository, sample_rows(200))
    rows = sample_rows(200).assign(rating=5, review_date="2026-02-10T12:00:00Z")
    columns.write_frame(columns.conform(rows), settings.data / "validated" / SAMPLE_APP / "2026-02.parquet")
    (settings.data / "validated" / SAMPLE_APP / "2026-01.parquet").unlink()
    found = blocking_claims(evidence(settings, repository))
    assert not found["positive_share_is_normal"].passed
    assert found["positive_share_is_steady"].passed
    assert "positive_share_is_normal is broken" in found["positive_share_is_steady"].reason


def test_a_large_quarantine_counts_rows_of_the_runs_source_alone(settings, repository):
    path = settings.data / "quarantine" / SAMPLE_APP / "2026-01.parquet"
    for source, expected in [("file", set()), ("sample", {"quarantine_is_small"})]:
        rows = columns.to_table(columns.conform(sample_rows(200).assign(source=source)))
        columns.write_table(rows.append_column("reasons", [["rating is missing"] * 200]), path)
        assert broken(settings, repository) == expected


def test_a_version_is_refused_with_every_reason(settings, repository):
    for path in (settings.data / "validated").rglob("*.parquet"):
        path.unlink()
    rows = columns.read_rows(settings.data / "raw" / SAMPLE_APP / "2026-01.parquet").drop_columns("author")
    columns.write_table(rows, settings.data / "raw" / SAMPLE_APP / "2026-01.parquet")
    with pytest.raises(PermanentFailure) as refused:
        refuse_broken(evidence(settings, repository), [AppStatus("com.example.app", "partial", "page 3 failed")])
    for words in (
        "reviews_are_not_empty: no usable review",
        "collection_is_complete: com.example.app: page 3 failed: run the job pipeline",
        "stored_reviews_keep_their_schema: ",
    ):
        assert words in str(refused.value)
