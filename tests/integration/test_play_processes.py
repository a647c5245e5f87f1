"""The collector as a process: killed for real, in another time zone, and searched for names."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.reviews.stored.erase import erase
from mlops_assets.reviews.stored.store import ReviewStore
from tests.collection_cases import APP, feed_of, shown, stored
from tests.fakes.play_store import FakePlayStore, Fault
from tests.fakes.play_wire import serve
from tests.integration.clients import wait_until

ROOT = Path(__file__).parents[2]


def start(url: str, folder: Path, month: str, *key: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.collect_from", url, str(folder), APP, month, *key],
        cwd=ROOT,
        env={"PATH": os.defpath, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out, err


def test_a_killed_backfill_goes_on_after_the_last_page_it_stored(tmp_path):
    fake = FakePlayStore(page_size=20)
    fake.add(APP, feed_of(1200))
    with serve(fake) as wire:
        fake.faults = [Fault("hang", at=25)]  # the one on its way when the kill comes
        process = start(wire.url, tmp_path, "2025-01")
        assert wait_until(lambda: len(fake.requests) == 25)
        process.kill()
        process.communicate()
        before = fake.tokens(APP)
        fake.requests.clear()
        assert finish(start(wire.url, tmp_path, "2025-01"))[0].startswith("whole")
    assert len(before) == 25
    # Only what was not stored yet when the kill came is asked for again: one page on its way, and those being written.
    again = [token for token in fake.tokens(APP) if token in before and token is not None]
    assert len(again) <= 4
    assert stored(ReviewStore(tmp_path)) == shown(fake)


def test_the_time_zone_changes_no_byte(tmp_path):
    fake = FakePlayStore(page_size=20)
    fake.add(APP, [replace(one, reply="Halo", replied_at_s=one.at_s + 60) for one in feed_of(100)])
    files = []
    with serve(fake) as wire:
        for zone in ("UTC", "Asia/Jakarta", "America/St_Johns"):
            finish(start(wire.url, tmp_path / zone, "2026-02", env={"TZ": zone}))
            folder = tmp_path / zone / APP
            files.append({path.name: path.read_bytes() for path in folder.glob("*.parquet")})
    assert files[0] == files[1] == files[2]
    assert files[0]


@pytest.mark.parametrize("key", [(), ("a key of the test",)])
def test_no_file_and_no_log_holds_a_name_or_an_avatar(tmp_path, key):
    fake = FakePlayStore(page_size=20)
    people = [f"Ratnawulan{number} Kusumadewi{number}" for number in range(60)]
    fake.add(
        APP,
        [
            replace(one, name=name, reply=f"Halo Kak {name.split()[0].upper()} dan {name}!", replied_at_s=one.at_s)
            for one, name in zip(feed_of(60), people, strict=True)
        ],
    )
    logs = ""
    with serve(fake) as wire:
        # Torn on the way, so that the journal and an error message are searched too.
        fake.faults = [Fault("cut", at=3, times=2)]
        for _ in range(2):
            for kind in ("data", "cut early", "consent"):
                fake.faults.append(Fault(kind, at=len(fake.requests) + 2, times=2))
            logs += "".join(finish(start(wire.url, tmp_path, "2026-01", *key)))
            found = search(tmp_path, [*(part for name in people for part in name.split()), "play-lh"], logs)
            assert found == []
    assert "partial" in logs


def test_an_erased_author_is_in_no_current_file(tmp_path):
    fake = FakePlayStore(page_size=20)
    fake.add(APP, [replace(one, name="Siti Rahma") if n % 20 == 0 else one for n, one in enumerate(feed_of(60))])
    with serve(fake) as wire:
        finish(start(wire.url, tmp_path / "raw", "2026-01", "key"))
        done = erase(tmp_path, author="Siti Rahma", author_key="key")
        assert len(done.review_ids) == 3
        assert search(tmp_path, list(done.review_ids)) == []
        finish(start(wire.url, tmp_path / "raw", "2026-01", "key"))
    assert len(stored(ReviewStore(tmp_path / "raw"))) == 57


def search(folder: Path, words: list[str], *texts: str) -> list[str]:
    """Where any of the words stands, in files or texts, in any case. Parquet is searched by its values too."""
    haystacks = [*texts]
    haystacks += [path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()]
    store_folders = [folder, folder / "raw"]
    for store in (ReviewStore(one) for one in store_folders if one.is_dir()):
        for app_id in store.apps():
            haystacks += [store.read(app_id, month).to_csv() for month in store.months(app_id)]
    return [word for word in words if any(word.casefold() in text.casefold() for text in haystacks)]
