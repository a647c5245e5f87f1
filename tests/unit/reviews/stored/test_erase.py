from dataclasses import replace

import pyarrow as pa
import pytest

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.files.imports import files_in, files_that_hold
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.play_store.collect import collect_app
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.erase import (
    EQUAL_NAMES,
    NothingToErase,
    drop_erased,
    erase,
    know_as_masked,
    mask_stored,
)
from mlops_assets.reviews.stored.privacy import AuthorKeyMissing, Erased, review_digest
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.text import text_digest
from tests.collection_cases import APP, NOW, OPTIONS, feed_of, stored
from tests.fakes.play_store import FakePlayStore, Fault, MemoryPlayStore
from tests.unit.reviews.rows import APP as SOME_APP
from tests.unit.reviews.rows import frame, history_months, review

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
    left = files_that_hold(files_in(data / "imports"), Erased.load(data / "raw"), FileRules(known_apps=[APP]))
    assert list(left) == [tracked]


def test_every_version_of_the_text_is_told_to_who_keeps_texts_before_a_file_changes(data):
    """If the log of predictions does not answer, the next call must still find the texts."""
    asked = []

    def away(digests):
        asked.append(digests)
        raise ConnectionError

    for _ in range(2):
        with pytest.raises(ConnectionError):
            erase(data, review="gp:000010", forget_texts=away)
    assert asked[0] == asked[1]
    assert text_digest("edited") in asked[0]
    assert len(asked[0]) == 2
    erase(data, review="gp:000010", forget_texts=asked.append)
    erase(data, review="gp:000010", forget_texts=asked.append)
    assert asked[2:] == [asked[0], frozenset()]


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


NUMBER, ADDRESS = "0812-0000-1111", "contoh@example.com"


def texts_in(folder):
    """Every text of every file, with its file."""
    return {
        (path.relative_to(folder).as_posix(), text)
        for path in folder.rglob("*.parquet")
        for row in columns.read_rows(path, ["review_text", "reply_text"]).to_pylist()
        for text in row.values()
    }


def as_an_older_version_stored(data):
    """Reviews with personal data in every place that holds reviews; the folder of copies."""
    rows = columns.to_table(
        frame(
            review("a", review_text=f"hubungi {NUMBER}", reply_text=f"kirim ke {ADDRESS}"),
            review("b", review_text=f"hubungi {NUMBER}"),
            review("c", review_text="bagus"),
        )
    )
    aside = data.parent / ".before-restore"
    places = [data / part / SOME_APP / "2026-01.parquet" for part in ("raw", "raw", "validated")]
    places[1] = data / "raw" / SOME_APP / "history" / "2026-01.parquet"
    for path in [*places, data / "imports" / "old-0a1b2c3d.parquet", aside / "old" / "data" / "raw" / "x.parquet"]:
        columns.write_table(rows, path)
    with_reasons = rows.append_column("reasons", pa.array(["text is empty"] * 3))
    columns.write_table(with_reasons, data / "quarantine" / SOME_APP / "2026-01.parquet")
    return aside


def test_what_an_older_version_stored_is_masked_everywhere_and_once(tmp_path):
    data = tmp_path / "data"
    aside = as_an_older_version_stored(data)
    clean = data / "raw" / SOME_APP / "2026-02.parquet"
    columns.write_table(columns.to_table(frame(review("d", review_date="2026-02-01T00:00:00Z"))), clean)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert mask_stored(data, [aside]) == {"phone": 12, "email": 6}
    assert {text for _, text in texts_in(tmp_path)} == {
        "hubungi [phone]", "kirim ke [email]", "bagus", "aplikasi bagus", None
    }  # fmt: skip
    assert columns.read_rows(data / "quarantine" / SOME_APP / "2026-01.parquet").num_columns == len(columns.COLUMNS) + 1
    assert {path for path, before in files.items() if path.stat().st_mtime_ns == before} == {clean}
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert mask_stored(data, [aside]) == {}
    assert {path: path.stat().st_mtime_ns for path in files} == files


@pytest.mark.parametrize("killed_at", range(6))
def test_masking_that_was_killed_is_finished_by_the_next_call(tmp_path, monkeypatch, killed_at):
    data = tmp_path / "data"
    aside = as_an_older_version_stored(data)
    write, done = columns.write_table, []

    def write_until_killed(table, path, **more):
        if len(done) == killed_at:
            raise KeyboardInterrupt
        done.append(path)
        write(table, path, **more)

    monkeypatch.setattr(columns, "write_table", write_until_killed)
    with pytest.raises(KeyboardInterrupt):
        mask_stored(data, [aside])
    monkeypatch.undo()
    mask_stored(data, [aside])
    assert not [text for _, text in texts_in(tmp_path) if text and (NUMBER in text or ADDRESS in text)]


def test_a_file_that_comes_back_unmasked_is_masked_again(tmp_path):
    data = tmp_path / "data"
    as_an_older_version_stored(data)
    month = data / "raw" / SOME_APP / "2026-01.parquet"
    unmasked = month.read_bytes()
    mask_stored(data)
    masked = month.read_bytes()
    month.write_bytes(unmasked)
    assert mask_stored(data) == {"phone": 2, "email": 1}
    assert month.read_bytes() == masked


def test_files_that_a_run_wrote_are_not_read_again(tmp_path, monkeypatch):
    data = tmp_path / "data"
    as_an_older_version_stored(data)
    mask_stored(data)
    ReviewStore(data / "raw").upsert(SOME_APP, frame(review("new", review_text=f"hubungi {NUMBER}")))
    know_as_masked(data)
    monkeypatch.setattr(columns, "read_rows", lambda *_: pytest.fail("read again"))
    assert mask_stored(data) == {}


def test_a_masked_review_is_the_one_that_play_shows_unmasked(tmp_path):
    fake, data = FakePlayStore(), tmp_path / "data"
    shown = replace(feed_of(1)[0], name="Budi", text=f"hubungi {NUMBER}", reply=f"Halo Budi, tulis ke Budi.{ADDRESS}")
    fake.add(APP, [shown])
    collect(data, fake)
    (stored_file,) = (data / "raw" / APP).glob("*.parquet")
    (row,) = columns.read_rows(stored_file).to_pylist()
    assert (row["review_text"], row["reply_text"]) == ("hubungi [phone]", "Halo [name], tulis ke [email]")
    # As a version before the masks stored it: names alone were masked.
    older = {**row, "review_text": shown.text, "reply_text": f"Halo [name], tulis ke [name].{ADDRESS}"}
    columns.write_table(pa.Table.from_pylist([older], columns.SCHEMA), stored_file)
    mask_stored(data)
    before = stored_file.read_bytes()
    changes = collect(data, fake, reread=True).changes
    assert (changes.unchanged, changes.total) == (1, 0)
    assert stored_file.read_bytes() == before
    assert not history_months(ReviewStore(data / "raw"), APP)


def test_a_masked_review_of_a_file_is_the_one_that_its_file_holds(tmp_path):
    data, path = tmp_path / "data", tmp_path / "reviews.csv"
    path.write_text(f"id,text,stars,date\n1,hubungi {NUMBER},1,2026-01-05\n2,bagus,5,2026-01-06\n")
    read = read_reviews(path, FileRules(app_id=SOME_APP)).frame
    assert read["review_text"].tolist() == ["hubungi [phone]", "bagus"]
    store = ReviewStore(data / "raw")
    # As older versions stored it, under the number of its row and under the id that comes from its content.
    for ids in (["1", "2"], read["review_id"].tolist()):
        older = read.assign(review_id=ids, review_text=[f"hubungi {NUMBER}", "bagus"])
        columns.write_table(columns.to_table(older), store.path(SOME_APP, "2026-01"))
        mask_stored(data)
        changes = store.take_batch(SOME_APP, read, content_ids=True)
        assert (changes.unchanged, changes.total) == (2, 0)
        assert store.count(SOME_APP) == 2


def test_erasing_passes_over_the_files_of_a_killed_writer(data):
    month = ReviewStore(data / "raw").path(APP, ReviewStore(data / "raw").months(APP)[-1])
    columns.write_table(columns.read_table(month), month.parent / ".pending-0" / month.name)
    assert erase(data, review="gp:000010").rows
    assert "gp:000010" not in {review_id for review_id, _ in everything(data)}


def test_labels_of_a_text_go_with_the_last_review_that_has_it(tmp_path):
    store = ReviewStore(tmp_path / "raw")
    store.upsert(SOME_APP, frame(review("a", review_text="bagus"), review("b", review_text="Bagus"), review("c")))
    asked: list[frozenset[str]] = []
    erase(tmp_path, review="a", forget_labels=asked.append)
    erase(tmp_path, review="b", forget_labels=asked.append)
    assert asked == [frozenset(), frozenset({text_digest("bagus")})]
