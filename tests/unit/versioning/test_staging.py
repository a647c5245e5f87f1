"""Staged folders equal their source at a cost that follows the change."""

import errno
import json
import os
from pathlib import Path

import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.objects import (
    BrokenPointer,
    ObjectFolder,
    file_md5,
    folder_object,
    object_at,
    pointed_object,
)
from mlops_assets.versioning.git.pipeline_commit import parse_trailers
from mlops_assets.versioning.staging import RECORD, Staging


def _files(folder: Path, **contents: str) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {f"app/{name}": folder / name for name in contents}


def _staged(clone: Path, files: dict[str, Path]) -> Staging:
    staging = Staging(clone)
    staging.make("data/raw", files)
    return staging


def _content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_only_what_changed_is_read_and_copied(tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1", b="22", c="333")
    assert _staged(tmp_path, files).bytes_copied == 6
    assert _staged(tmp_path, files).bytes_copied == 0
    files |= _files(tmp_path / "source", b="4444")
    assert _staged(tmp_path, files).bytes_copied == 4
    assert _content(tmp_path / "data/raw") == {"app/a": "1", "app/b": "4444", "app/c": "333"}


def test_the_md5_of_a_staged_file_is_known_until_the_file_is_written_again(tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1", b="22")
    staging = _staged(tmp_path, files)
    assert staging.objects("data/raw", files) == {name: file_md5(path) for name, path in files.items()}
    files |= _files(tmp_path / "source", b="44", c="333")
    assert staging.objects("data/raw", files).keys() == {"app/a"}
    assert Staging(tmp_path / "elsewhere").objects("data/raw", files) == {}


def test_an_object_is_named_by_its_path(tmp_path: Path) -> None:
    name = "0" * 32
    assert object_at(ObjectFolder(tmp_path).path(name)) == name


def test_what_is_not_named_goes_with_its_empty_folder(tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1")
    _staged(tmp_path, {**files, "gone/b": files["app/a"]})
    (tmp_path / "data/raw/stray").write_text("from an older checkout")
    _staged(tmp_path, files)
    assert sorted(path.name for path in (tmp_path / "data/raw").rglob("*")) == ["a", "app"]


def test_a_copy_that_someone_changed_is_made_again(tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1")
    _staged(tmp_path, files)
    (tmp_path / "data/raw/app/a").write_text("tampered")
    assert _staged(tmp_path, files).bytes_copied == 1
    assert _content(tmp_path / "data/raw") == {"app/a": "1"}


def test_a_file_exchanged_for_one_of_equal_size_and_time_is_noticed(tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1")
    _staged(tmp_path, files)
    status = files["app/a"].stat()
    (tmp_path / "other").write_text("2")
    os.utime(tmp_path / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "other").replace(files["app/a"])
    _staged(tmp_path, files)
    assert _content(tmp_path / "data/raw") == {"app/a": "2"}


@pytest.mark.parametrize("links", [True, False])
def test_equal_content_is_one_file_where_the_file_system_has_hard_links(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    files = _files(tmp_path / "source", a="1", b="1")
    _staged(tmp_path, files)
    a, b = (tmp_path / "data/raw/app" / name for name in "ab")
    assert a.samefile(b) == links
    files |= _files(tmp_path / "source", b="2")
    assert _staged(tmp_path, files).bytes_copied == 1
    assert _content(tmp_path / "data/raw") == {"app/a": "1", "app/b": "2"}


def test_a_damaged_record_costs_time_and_nothing_else(tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1")
    name = _staged(tmp_path, files).object_of("data/raw")
    (tmp_path / RECORD).write_text("{")
    assert _staged(tmp_path, files).object_of("data/raw") == name


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a.partial"])
def test_a_name_outside_the_version_is_refused(name: str, tmp_path: Path) -> None:
    files = _files(tmp_path / "source", a="1")
    with pytest.raises(PermanentFailure, match="relative path inside the version"):
        _staged(tmp_path, {name: files["app/a"]})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"gone is missing: collect it again"):
        _staged(tmp_path, {"app/a": tmp_path / "gone"})


def test_a_folder_is_named_by_its_files_not_by_their_order() -> None:
    one = {"b": "1" * 32, "a/c": "2" * 32}
    assert folder_object(one) == folder_object(dict(reversed(one.items())))
    assert folder_object(one) != folder_object({**one, "b": "3" * 32})


@pytest.mark.parametrize("text", ["", "outs: []", "outs:\n- path: raw", "outs:\n- md5: ../../etc/passwd", "{"])
def test_a_broken_pointer_is_refused(text: str) -> None:
    with pytest.raises(BrokenPointer, match="restore it from git"):
        pointed_object(text)


def test_trailers_are_the_last_paragraph() -> None:
    summary = json.dumps({"rows": {"a.b": 1}})
    message = f"Subject: no trailer\n\nBody-Line: no trailer either\n\nPipeline-Run: r\nData-Summary: {summary}\n"
    assert parse_trailers(message) == {"Pipeline-Run": "r", "Data-Summary": summary}
