"""Which apps a run covers, by its tags."""

import pytest

from mlops_assets.assets.partitions import apps_covered, range_tags
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
