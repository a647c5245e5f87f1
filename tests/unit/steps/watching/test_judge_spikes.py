"""A spike in the stored reviews is found with its version and topic, and people are told of it once."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from mlops_assets.automation.run_record import record_of
from mlops_assets.checks.reviews import VALIDATED, _spikes_result
from mlops_assets.reporting.messages import messages_of
from mlops_assets.reviews.sources.review_source import SampleSource
from mlops_assets.reviews.spikes import spikes
from mlops_assets.reviews.spikes.spikes import find_spikes
from mlops_assets.reviews.stored import columns
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_reviews import Evidence
from mlops_assets.steps.watching.judge_spikes import judge_spikes
from mlops_assets.trained_on import SAMPLE_APP
from tests.fakes.version_repository import FakeVersionRepository
from tests.unit.reporting.summaries import FAILED, NEW, summary
from tests.unit.reviews.rows import frame, review

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Sixty days with two complaints each, the last one with 15 about the login of version 2."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"apps": ["com.example.app"], "source": "sample"}))
    settings = Settings.load({"NOW": NOW.isoformat()}, tmp_path)
    rows = []
    for back in range(60, 0, -1):
        complaints = [("iklan terus", "1.0")] * 2 + ([("tidak bisa login", "2.0")] * 15 if back == 1 else [])
        for number, (text, version) in enumerate([*complaints, *[("bagus", "1.0")] * 6]):
            at = (NOW - timedelta(days=back)).isoformat()
            values = {"review_text": text, "app_version": version, "review_date": at, "scraped_at": NOW.isoformat()}
            stars = 5 if text == "bagus" else 1
            rows.append(review(f"{back}-{number}", app_id=SAMPLE_APP, source="sample", rating=stars, **values))
    stored = frame(*rows)
    for month, part in stored.groupby(columns.month_of(stored["review_date"])):
        path = settings.data / "validated" / SAMPLE_APP / f"{month}.parquet"
        columns.write_frame(columns.conform(part), path)
    return Evidence(settings, SampleSource(settings.now), FakeVersionRepository(tmp_path / "clone"))


def topics(texts):
    return ["login" if "login" in text else None for text in texts]


def test_a_spike_names_its_version_and_its_topic(evidence: Evidence) -> None:
    found = judge_spikes(evidence, topics)
    assert found.reason == (
        f"{SAMPLE_APP}: 17 negative reviews on 2026-03-09, 2.0 are usual (56 days before); version 2.0 has 15 of them "
        "(0.0 are usual); topic login has 15 of them (0.0 are usual)"
    )


def test_a_calm_app_says_what_is_usual(evidence: Evidence) -> None:
    for path in (evidence.settings.data / "validated" / SAMPLE_APP).glob("*.parquet"):
        rows = columns.read_frame(path)
        columns.write_frame(columns.conform(rows[rows["app_version"] == "1.0"]), path)
    assert judge_spikes(evidence).reason == (
        f"{SAMPLE_APP}: 2 negative reviews on 2026-03-09, 2.0 are usual (56 days before)"
    )


def test_a_calm_app_is_judged_once_a_day_and_a_spike_by_every_run(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[date] = []
    monkeypatch.setattr(spikes, "find_spikes", lambda counts, today: judged.append(today) or found(counts, today))
    found = find_spikes
    said = [judge_spikes(evidence, topics).reason for _ in range(2)]
    assert said[0] == said[1]
    assert len(judged) == 2
    for path in (evidence.settings.data / "validated" / SAMPLE_APP).glob("*.parquet"):
        rows = columns.read_frame(path)
        columns.write_frame(columns.conform(rows[rows["app_version"] == "1.0"]), path)
    calm = [judge_spikes(evidence).reason for _ in range(3)]
    assert calm[0] == calm[1] == calm[2] != said[0]
    assert len(judged) == 3
    tomorrow = Settings.load({"NOW": (NOW + timedelta(days=1)).isoformat()}, evidence.settings.root)
    judge_spikes(Evidence(tomorrow, SampleSource(tomorrow.now), evidence.repository))
    assert judged[3:] == [tomorrow.now().date()]


def test_what_the_check_found_is_a_message_of_its_own_even_if_the_run_fails(evidence: Evidence) -> None:
    result = _spikes_result(judge_spikes(evidence))

    @dg.asset(key=VALIDATED, check_specs=[dg.AssetCheckSpec(str(result.check_name), asset=VALIDATED)])
    def reviews():
        yield dg.MaterializeResult()
        yield result

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([reviews], instance=instance)
        (check,) = record_of(instance, run.run_id).checks
    told = {"checks": [check]}
    for changes, others in ((NEW, ["new data"]), (FAILED, ["failure"]), ({}, ["quiet"])):
        messages = messages_of(summary(**changes | told), failed_before=False)
        assert [message.kind for message in messages] == [*others, "spike"]
        assert messages[-1].id == f"spike:{SAMPLE_APP}:2026-03-09"
        assert "17 negative reviews on 2026-03-09, 2.0 are usual (version 2.0)" in messages[-1].title
        assert "version 2.0 has 15 of them" in messages[-1].text
