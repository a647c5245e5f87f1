"""Which apps and months a run covers, by its tags and by what is stored."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.assets.partitions import (
    apps_covered,
    months_asked,
    months_by_app,
    partitioned,
    range_tags,
    record_run,
    review_partitions,
    stored_range,
)
from mlops_assets.failures import PermanentFailure
from tests.user_clone import make_clone, settings_of

APPS = ["com.example.a", "com.example.b", "com.example.c"]


@pytest.mark.parametrize(
    ("tags", "covered"),
    [
        ({}, [*APPS, "sample.app"]),
        ({"dagster/partition/app": "com.example.b", "dagster/partition/month": "2026-01"}, ["com.example.b"]),
        ({"dagster/partition/app": "com.left.params"}, [*APPS, "sample.app"]),
    ],
)
def test_one_partition_is_of_one_app_and_no_partition_of_all(tmp_path, tags, covered) -> None:
    assert apps_covered(settings_of(make_clone(tmp_path / "clone", apps=APPS)), tags) == covered


def test_a_range_covers_the_apps_between_its_ends(tmp_path) -> None:
    settings = settings_of(make_clone(tmp_path / "clone", apps=APPS))
    tags = range_tags(settings, ["com.example.b", "com.example.c"], "2026-01", "2026-03")
    assert apps_covered(settings, {**tags, "dagster/partition/app": "com.example.b"}) == APPS[1:]


def stored(root: Path, app: str, *names: str) -> None:
    folder = root / "data" / "raw" / app
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"reviews")


@pytest.mark.parametrize(
    ("names", "span"),
    [
        (["2026-01.parquet", "2026-03.parquet"], ("2026-01", "2026-03")),
        (["2015-12.parquet", "2026-01.parquet"], ("2026-01", "2026-01")),
        (["2016-01.parquet"], ("2016-01", "2016-01")),
        (["2026-01.parquet", "2999-01.parquet"], ("2026-01", "2026-01")),
        (["2026-01.parquet", "notes.parquet", "2026-13.parquet", "2026-02 copy.parquet"], ("2026-01", "2026-01")),
        (["2015-06.parquet", "notes.parquet"], None),
        ([], None),
    ],
)
def test_only_files_that_are_partitions_give_the_range_of_a_run(tmp_path, names, span) -> None:
    clone = make_clone(tmp_path / "clone", apps=APPS)
    stored(clone, APPS[0], *names)
    stored(clone, "com.left.params", "2015-01.parquet", "2027-01.parquet")
    settings = settings_of(clone)
    found = stored_range(settings, "play_store")
    assert found == (None if span is None else ([APPS[0]], *span))
    if found is not None:
        tags = range_tags(settings, *found)
        keys = review_partitions(settings).get_partition_keys()
        assert set(tags.values()) <= set(keys)


def test_a_range_is_cut_to_the_partitions_and_an_empty_one_names_first_month(tmp_path) -> None:
    settings = settings_of(make_clone(tmp_path / "clone", apps=APPS, first_month="2026-01"), NOW="2026-03-20T00:00:00Z")
    tags = range_tags(settings, APPS, "2015-06", "2026-03")
    assert tags["dagster/asset_partition_range_start"] == f"{APPS[0]}|2026-01"
    with pytest.raises(PermanentFailure, match="no month from 2015-06 to 2015-09 is between first_month 2026-01"):
        range_tags(settings, APPS, "2015-06", "2015-09")
    with pytest.raises(PermanentFailure, match=r"names none of the apps com\.left\.params: add one under apps"):
        range_tags(settings, ["com.left.params"], "2026-01", "2026-03")


TABLE = "| app | new |\n" * 10_000
"""What a run of many months shows once: 140 kB."""


def events_of_a_run(folder: Path, first: str, last: str) -> list[dg.EventLogRecord]:
    """The materializations of a run of APPS over these months, the newest first; each month has five reviews."""

    @dg.asset
    def reviews(context: dg.AssetExecutionContext) -> None:
        months = months_by_app(context)
        record_run(context, dict.fromkeys(months_asked(months), 5), {"by_app": dg.MetadataValue.md(TABLE)})

    settings = settings_of(make_clone(folder, apps=APPS, first_month="2024-01"), NOW="2026-03-20T00:00:00Z")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = range_tags(settings, APPS, first, last)
        assert dg.materialize(partitioned(settings, [reviews]), instance=instance, tags=tags).success
        return list(instance.fetch_materializations(reviews.key, limit=1000).records)


def test_the_tables_of_a_run_are_stored_twice_at_most_however_many_months_it_covers(tmp_path) -> None:
    few, many = (events_of_a_run(tmp_path / last, "2026-01", last) for last in ("2026-01", "2026-03"))
    assert (len(few), len(many)) == (3, 9)
    sizes = [sum(len(dg.serialize_value(record.event_log_entry)) for record in records) for records in (few, many)]
    assert len(TABLE) < min(sizes)
    assert max(sizes) < 3 * len(TABLE)


def test_the_newest_event_and_the_newest_month_show_the_run_and_the_others_say_where_it_is(tmp_path) -> None:
    records = events_of_a_run(tmp_path / "clone", "2026-01", "2026-03")
    pages = {page.partition: page.metadata for record in records if (page := record.asset_materialization)}
    assert all(about["dagster/partition_row_count"].value == 5 for about in pages.values())
    newest = f"{APPS[-1]}|2026-03"
    shown = {newest, records[0].partition_key}
    assert {partition for partition, about in pages.items() if "by_app" in about} == shown
    assert pages[newest]["by_app"].value == TABLE
    assert pages[newest]["months_of_this_run"].value == f"9, from {APPS[0]}|2026-01 to {newest}"
    rest = {about["whole_run_at"].value for partition, about in pages.items() if partition not in shown}
    assert rest == {newest}
