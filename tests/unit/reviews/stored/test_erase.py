from dataclasses import replace

import pytest

from mlops_assets.reviews.files.imports import files_that_hold
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.play_store.collect import collect_app
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.erase import EQUAL_NAMES, NothingToErase, drop_erased, erase
from mlops_assets.reviews.stored.privacy import AuthorKeyMissing, Erased, review_digest
from mlops_assets.reviews.stored.store import ReviewStore
from tests.collection_cases import APP, NOW, OPTIONS, feed_of, stored
from tests.fakes.play_store import FakePlayStore, Fault, MemoryPlayStore
from tests.unit.reviews.rows import APP as SOME_APP
from tests.unit.reviews.rows import frame, review

KEY = "a key of the test"


@pytest.fixture
def fake():
    fake = FakePlayStore(page_size=20)
    fake.add(APP, [replace(one, name="Siti Rahma" if i % 10 == 0 else one.name) for i, one in enumerate(feed_of(60))])
    return fake


@pytest.fixture
def data(tmp_path, fake):
    data = tmp_path / "data"
    store = ReviewStore(data / "raw")
    collect(data, fake)
    fake.edit(APP, "gp:000010", text="edited", at_s=int(NOW.timestamp()))
    collect(data, fake)
    for part in ("validated", "quarantine"):
        for month in store.months(APP):
            columns.write_table(columns.read_table(store.path(APP, month)), data / part / APP / f"{month}.parquet")
    return data


def collect(data, fake, **more):
    play = MemoryPlayStore(fake, author_key=KEY)
    return collect_app(ReviewStore(data / "raw"), play, APP, ["2020-01"], now=NOW, options=OPTIONS, **more)


def everything(data):
    return {
        (row["review_id"], row["author"])
        for path in data.rglob("*.parquet")
        for row in columns.read_table(path, ["review_id", "author"]).to_pylist()
    }


def test_a_review_goes_from_every_file_and_its_history(data):
    done = erase(data, review="gp:000010")
    assert sorted(name.split("/")[1] for name in done.rows) == ["quarantine", "raw", "raw", "validated"]
    assert any("/history/" in name for name in done.rows)
    assert "gp:000010" not in {review_id for review_id, _ in everything(data)}
    assert len(stored(ReviewStore(data / "raw"))) == 59


@pytest.mark.parametrize("how", [{"review": "gp:000010"}, {"author": "Siti Rahma", "author_key": KEY}])
def test_a_review_goes_from_cleaned_imports_and_from_copies_that_were_put_aside(data, how):
    month = ReviewStore(data / "raw").months(APP)[-1]
    table = columns.read_table(ReviewStore(data / "raw").path(APP, month))
    assert "gp:000010" in table["review_id"].to_pylist()
    aside = data.parent / ".before-restore" / "old"
    copies = [data / "imports" / "old-0a1b2c3d.parquet", aside / "data" / "raw" / APP / f"{month}.parquet"]
    tracked = data / "imports" / "theirs.parquet"
    for path in (*copies, tracked):
        columns.write_table(table, path)
    tracked.with_name("theirs.parquet.dvc").write_text("outs: []\n")
    done = erase(data, **how, copies=[aside.parent])
    assert {path.relative_to(data.parent).as_posix() for path in copies} <= set(done.rows)
    for path in copies:
        assert "gp:000010" not in columns.read_table(path)["review_id"].to_pylist()
    left = files_that_hold(data / "imports", Erased.load(data / "raw"), FileRules(known_apps=[APP]))
    assert list(left) == ["theirs.parquet"]


def test_an_author_is_found_by_the_display_name_in_any_case(data):
    done = erase(data, author="  siti   RAHMA ", author_key=KEY)
    assert done.review_ids == tuple(f"gp:{n:06}" for n in range(0, 60, 10))
    assert done.note == EQUAL_NAMES
    assert len({review_id for review_id, _ in everything(data)}) == 54


def test_another_key_finds_nobody(data):
    assert erase(data, author="Siti Rahma", author_key="another").rows == {}


@pytest.mark.parametrize("how", [{"review": "gp:000010"}, {"author": "Siti Rahma", "author_key": KEY}])
def test_what_was_erased_is_not_collected_again(data, fake, how):
    erase(data, **how)
    left = everything(data)
    assert collect(data, fake, reread=True).whole
    assert everything(data) == left


def test_a_crawl_that_is_open_forgets_the_review_too(tmp_path, fake):
    data = tmp_path / "data"
    fake.faults = [Fault("429", at=3, times=3)]
    assert collect(data, fake).status == "partial"
    done = erase(data, author="Siti Rahma", author_key=KEY)
    assert done.rows[f"data/raw/{APP}/crawl.pages.jsonl"] == 4
    assert "gp:000010" not in (data / "raw" / APP / "crawl.pages.jsonl").read_text()
    assert collect(data, fake).whole
    assert len(stored(ReviewStore(data / "raw"))) == 54


def test_an_author_without_a_key_is_refused(data):
    before = everything(data)
    with pytest.raises(AuthorKeyMissing, match="AUTHOR_KEY"):
        erase(data, author="Siti Rahma")
    with pytest.raises(NothingToErase, match="REVIEW"):
        erase(data)
    assert everything(data) == before


def test_what_was_erased_is_not_stored_again_wherever_it_comes_from(tmp_path):
    store = ReviewStore(tmp_path / "raw")
    reviews = frame(review("a"), review("b"), review("c", author="hash of an author"))
    store.upsert(SOME_APP, reviews)
    erase(tmp_path, review="a")
    Erased(authors=frozenset({"hash of an author"})).save(tmp_path / "other")
    assert store.upsert(SOME_APP, reviews).new == 0
    assert store.count(SOME_APP) == 2
    assert ReviewStore(tmp_path / "other").upsert(SOME_APP, reviews).new == 2


def test_files_that_came_from_elsewhere_lose_what_was_erased(tmp_path):
    store = ReviewStore(tmp_path / "raw")
    store.upsert(SOME_APP, frame(review("a"), review("b")))
    Erased(reviews=frozenset({review_digest("a")})).save(tmp_path / "raw")
    assert drop_erased(tmp_path) == {f"raw/{SOME_APP}/2026-01.parquet": 1}
    assert store.read(SOME_APP, "2026-01")["review_id"].tolist() == ["b"]
    assert drop_erased(tmp_path) == {}
