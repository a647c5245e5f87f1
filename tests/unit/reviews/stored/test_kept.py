"""A value is found once for each stamp, and again after any change of what it was found in or by."""

from pathlib import Path

import pytest

from mlops_assets.reviews.stored.kept import Kept


def found_again(path: Path, stamp: list[int] | str, made_by: str = "rules 1", name: str = "app/2026-01") -> bool:
    asked: list[str] = []
    kept = Kept(path, made_by)
    value = kept.of(name, stamp, lambda: (asked.append(name), {"reviews": 3})[1])
    kept.save()
    assert value == kept.known(name, stamp) == {"reviews": 3}
    return asked == [name]


def test_a_value_is_found_once_until_its_stamp_or_the_rules_change(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "kept.json"
    assert [found_again(path, [1, 2, 3]), found_again(path, [1, 2, 3])] == [True, False]
    written = path.stat().st_mtime_ns
    assert not found_again(path, [1, 2, 3])
    assert path.stat().st_mtime_ns == written
    assert [found_again(path, [1, 2, 4]), found_again(path, "1"), found_again(path, "1", "rules 2")] == [True] * 3


def test_the_value_of_a_file_that_is_not_asked_for_any_more_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    assert found_again(path, "1")
    assert found_again(path, "1", name="app/2026-02")
    assert found_again(path, "1")


@pytest.mark.parametrize(
    "content",
    ["", "{torn", "[]", "3", '{"made_by": "rules 1"', '{"app/2026-01": [[1, 2, 3], ["file"]]}', b"\xff\x00"],
    ids=["empty", "torn", "list", "number", "cut", "of an older version", "not text"],
)
def test_a_damaged_or_older_record_is_made_again(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert [found_again(path, [1, 2, 3]), found_again(path, [1, 2, 3])] == [True, False]
