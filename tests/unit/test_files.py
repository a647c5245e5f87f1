import hashlib
import os
import stat
from pathlib import Path

import pytest

from mlops_assets.files import replace_file, replacing, sha256, stamp


def test_a_file_is_replaced_with_text_or_bytes_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    replace_file(path, "é")
    assert path.read_bytes() == "é".encode()
    replace_file(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_earlier_content_and_no_scratch_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "old")

    def write_half(scratch: Path) -> None:
        scratch.write_text("half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"), replacing(path) as scratch:
        write_half(scratch)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_readable_by_its_owner_alone_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with replacing(path, mode=0o600) as scratch:
        assert stat.S_IMODE(scratch.stat().st_mode) == 0o600
        scratch.write_text("secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_mode_is_not_narrowed_by_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        replace_file(tmp_path / "shown", "x", mode=0o644)
        replace_file(tmp_path / "private", "x")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "shown").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "file", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append((os.fstat(descriptor).st_mode, path.exists())))
    replace_file(path, "x")
    assert [(stat.S_ISDIR(mode), named) for mode, named in events] == [(False, False), (True, True)]


def test_the_digest_is_of_the_content_and_the_stamp_changes_with_a_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, "abc")
    before = stamp(path)
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert stamp(path) == before
    replace_file(path, "abd")
    assert stamp(path) != before
