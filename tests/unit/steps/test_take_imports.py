"""Files as a source: what REVIEWS names, what lies in data/imports, and what an older version stored of them."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from mlops_assets.cli.data import import_file
from mlops_assets.reviews.files.files import ReadFile, UnusableFile, read_reviews
from mlops_assets.reviews.files.imports import imports_are_understood, imports_hold_no_names
from mlops_assets.reviews.sources.review_source import CollectRequest
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from mlops_assets.steps.take_imports import FileSource, NoFile, read_folder, read_new_folder, take_imports

APP = "com.valar.pintu"
NOW = "2026-03-10T12:00:00Z"
HEADER = "reviewId,userName,content,score,at,replyContent"
ROWS = [
    "gp:1,Sekar Ayu,bagus,5,2026-01-10 07:30:00,Halo Sekar",
    "gp:2,Bima,jelek,1,2026-02-10 07:30:00,",
    "gp:3,Bima,lama,1,2015-06-01 07:30:00,",
    "gp:4,Bima,nanti,1,2027-06-01 07:30:00,",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    params = {"apps": [APP], "source": "sample", "labels": "binary", "first_month": "2016-01"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (tmp_path / "mine.csv").write_text("\n".join([HEADER, *ROWS]) + "\n", encoding="utf-8")
    return tmp_path


def source(root: Path, **environ: str) -> FileSource:
    return FileSource(Settings.load({"SOURCE": "file", "NOW": NOW, **environ}, root))


def collect(found: FileSource, root: Path) -> list[str]:
    """Everything that the source's months hold, into the store; what was reported."""
    said: list[str] = []
    first, last = found.months()
    months = [f"{month:%Y-%m}" for month in pd.period_range(first, last, freq="M")]
    found.collect(ReviewStore(root / "data" / "raw"), {APP: months}, said.append)
    return said


def stored(root: Path) -> pd.DataFrame:
    store = ReviewStore(root / "data" / "raw")
    return pd.concat([store.read(APP, month) for month in store.months(APP)], ignore_index=True)


def test_a_named_file_is_taken_without_the_rows_that_have_no_month_and_without_names(root):
    found = source(root, REVIEWS=str(root / "mine.csv"))
    assert found.months() == ("2026-01", "2026-02")
    said = collect(found, root)
    rows = stored(root)
    assert rows["review_id"].tolist() == ["gp:1", "gp:2"]
    assert rows["reply_text"].dropna().tolist() == ["Halo [name]"]
    assert said[0] == "mine.csv: 4 rows read = 2 taken + 2 in quarantine + 0 repeats"
    record = (root / "data/quarantine/files/mine.csv-rows.csv").read_text(encoding="utf-8")
    assert [line.split(",")[0] for line in record.splitlines()] == ["line", "4", "5"]
    assert sum(len(line) > 0 for line in found.balances()) <= 12


def test_without_reviews_the_source_is_what_was_imported(root, capsys):
    settings = Settings.load({"NOW": NOW}, root)
    assert import_file(settings, str(root / "mine.csv")) == 0
    told = capsys.readouterr().out
    assert "4 rows read = 2 taken + 2 in quarantine + 0 repeats" in told
    assert "line 5: '2027-06-01 07:30:00'" in told
    found = source(root)
    assert found.months() == ("2026-01", "2026-02")
    assert "reading data/imports" in collect(found, root)[0]
    assert set(stored(root)["source"]) == {"import"}
    assert take_imports(settings, print).months_by_app == {}
    assert "nothing new" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "colour,size\nred,3\n"])
def test_nothing_to_read_is_one_line_with_both_ways(root, content):
    (root / "data" / "imports").mkdir(parents=True)
    if content:
        (root / "data" / "imports" / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(
        NoFile, match=r"make run REVIEWS=reviews\.csv, or make import FILE=reviews\.csv first"
    ) as refused:
        source(root).months()
    assert "\n" not in str(refused.value)
    assert bool(content) == ("a.csv" in str(refused.value))


def test_rows_of_months_that_the_run_leaves_out_are_told(root):
    found, said = source(root, REVIEWS=str(root / "mine.csv")), list[str]()
    found.collect(ReviewStore(root / "data" / "raw"), {APP: ["2026-02"]}, said.append)
    assert stored(root)["review_id"].tolist() == ["gp:2"]
    assert said[-1].startswith("1 rows are of months or apps that this run does not cover")


def test_the_time_zone_that_a_person_names_holds_for_every_way(root):
    collect(source(root, REVIEWS=str(root / "mine.csv"), TIME_ZONE="WIB"), root)
    assert stored(root)["review_date"].iloc[0] == pd.Timestamp("2026-01-10T00:30:00Z")
    settings = Settings.load({"NOW": NOW, "TIME_ZONE": "Asia/Jakarta"}, root)
    import_file(settings, str(root / "mine.csv"))
    assert take_imports(settings, print).months_by_app == {}


def test_a_file_outside_the_months_of_a_run_is_refused_alone_and_named(root):
    folder = root / "data" / "imports"
    folder.mkdir(parents=True)
    (folder / "old.csv").write_text("\n".join([HEADER, ROWS[2]]) + "\n", encoding="utf-8")
    (folder / "mine.csv").write_text("\n".join([HEADER, *ROWS[:2]]) + "\n", encoding="utf-8")
    settings, said = Settings.load({"NOW": NOW}, root), list[str]()
    assert take_imports(settings, said.append).months_by_app == {APP: ["2026-01", "2026-02"]}
    assert any("old.csv" in line and "write first_month: 2015-06 into params.yaml" in line for line in said)
    assert "old.csv" in imports_are_understood(read_folder(settings)).reason
    with pytest.raises(UnusableFile, match="first_month: 2015-06"):
        source(root, REVIEWS=str(folder / "old.csv")).months()


def test_an_installation_of_the_last_version_comes_through(root):
    """It stored replies with names, row numbers as ids, and months outside of what a run covers."""
    store, settings = ReviewStore(root / "data" / "raw"), Settings.load({"NOW": NOW}, root)
    older = {"app_id": APP, "scraped_at": "2026-02-20", "source": "file"}
    rows = [
        dict(older, review_id="gp:1", review_text="bagus", rating=5, review_date="2026-01-10 07:30:00",
             reply_text="Halo Sekar"),
        dict(older, review_id="gp:3", review_text="lama", rating=1, review_date="2015-06-01 07:30:00"),
        dict(older, review_id="0", review_text="nomor nol", rating=5, review_date="2026-01-11", source="import"),
        dict(older, review_id="gp:4", review_text="nanti", rating=1, review_date="2027-06-01 07:30:00",
             scraped_at="2027-06-01 07:30:00", source="import"),
    ]  # fmt: skip
    store.upsert(APP, columns.conform(pd.DataFrame(rows)))
    folder = root / "data" / "imports"
    folder.mkdir(parents=True)
    (folder / "numbers.csv").write_text("id,content,score,at\n0,nomor nol,5,2026-01-11\n1,nomor satu,5,2026-01-11\n")
    said: list[str] = []
    collect(source(root, REVIEWS=str(root / "mine.csv")), root)
    take_imports(settings, said.append)
    now = stored(root).set_index("review_text")
    assert sorted(now.index) == ["bagus", "jelek", "lama", "nanti", "nomor nol", "nomor satu"]
    assert now.loc["bagus", "reply_text"] == "Halo [name]"
    assert "0" not in set(now["review_id"])
    assert any("2015-06.parquet" in line and "first_month: 2015-06" in line for line in said)
    assert any("2027-06.parquet" in line and "in the future" in line for line in said)
    assert imports_are_understood(read_folder(settings)).warning
    assert take_imports(settings, said.append).months_by_app == {}
    # The date is corrected in the file, and the file is imported again.
    (folder / "right.csv").write_text("\n".join([HEADER, ROWS[3].replace("2027", "2025")]) + "\n", encoding="utf-8")
    take_imports(settings, said.append)
    assert store.months(APP) == ["2015-06", "2025-06", "2026-01", "2026-02", "2027-06"]
    assert store.read(APP, "2027-06").empty
    assert read_folder(settings).outside[1:] == ()


@pytest.fixture
def whole(root: Path) -> Path:
    """A file of which every row can be stored, after it was."""
    path = root / "whole.csv"
    path.write_text("\n".join([HEADER, *ROWS[:3]]) + "\n", encoding="utf-8")
    collect(source(root, REVIEWS=str(path)), root)
    return path


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The names of the files that are read."""
    found: list[str] = []

    def read(path: Path, *arguments: object) -> ReadFile:
        found.append(path.name)
        return read_reviews(path, *arguments)

    monkeypatch.setattr("mlops_assets.reviews.files.files.read_reviews", read)
    monkeypatch.setattr("mlops_assets.reviews.files.imports.read_reviews", read)
    return found


def test_an_unchanged_file_is_not_read_again_and_tells_the_same(root, whole, reads):
    found = source(root, REVIEWS=str(whole), NOW="2026-07-10T12:00:00Z")
    assert found.apps() == (APP,)
    assert found.months() == ("2026-02", "2026-02")
    (line,) = collect(found, root)
    assert line.startswith("unchanged, and every row is stored: whole.csv: 3 rows read = 2 taken + 1 in quarantine")
    told = list(found.balances())
    assert reads == []
    assert told == list(source(root, REVIEWS=str(whole), AUTHOR_KEY="k" * 32).balances())
    assert reads == ["whole.csv"]


def test_a_copy_with_the_same_content_is_hashed_and_not_read(root, whole, reads):
    content = whole.read_bytes()
    whole.unlink()
    whole.write_bytes(content)
    assert "unchanged" in collect(source(root, REVIEWS=str(whole)), root)[0]
    assert reads == []


@pytest.mark.parametrize("change", ["a row more", "a stored month gone", "another zone", "a reread"])
def test_a_file_is_read_again_if_anything_changed_that_its_rows_depend_on(root, whole, reads, change):
    environ = {"REVIEWS": str(whole)}
    request = CollectRequest(reread=change == "a reread")
    if change == "a row more":
        whole.write_text(whole.read_text() + "gp:9,Bima,baru,5,2026-03-01 07:30:00,\n")
    elif change == "a stored month gone":
        ReviewStore(root / "data" / "raw").path(APP, "2026-01").unlink()
    elif change == "another zone":
        environ["TIME_ZONE"] = "Asia/Jakarta"
    months = {APP: ["2026-01", "2026-02", "2026-03"]}
    source(root, **environ).collect(ReviewStore(root / "data" / "raw"), months, print, request)
    assert reads == ["whole.csv"]
    assert {"gp:1", "gp:2"} <= set(stored(root)["review_id"])


def test_a_record_of_an_earlier_version_is_replaced(root, whole, reads):
    (record,) = (root / ".dagster" / "taken_files").glob("*.json")
    record.write_text('{"rules": "older", "files": [["whole.csv", [1, 2, 3], "digest"]], "stored": "digest"}')
    collect(source(root, REVIEWS=str(whole)), root)
    collect(source(root, REVIEWS=str(whole)), root)
    assert reads == ["whole.csv"]


def test_of_two_files_only_the_new_one_is_read_and_a_run_covers_its_months_alone(root, whole, reads):
    more = root / "more.csv"
    more.write_text("\n".join([HEADER, "gp:8,Bima,baru,5,2026-03-01 07:30:00,"]) + "\n", encoding="utf-8")
    found = source(root, REVIEWS=f"{whole},{more}")
    assert (found.due_apps(), found.months()) == ((APP,), ("2026-03", "2026-03"))
    collect(found, root)
    assert reads == ["more.csv"]
    assert {"gp:1", "gp:2", "gp:8"} == set(stored(root)["review_id"])
    assert list(found.balances())[-1] == "2 files: 4 rows read = 3 taken + 1 in quarantine + 0 repeats"
    again = source(root, REVIEWS=f"{whole},{more}")
    assert "unchanged" in collect(again, root)[0]
    assert reads == ["more.csv"]


def test_a_run_on_a_file_with_more_rows_covers_the_months_that_differ(root, whole):
    whole.write_text(whole.read_text().replace("jelek", "bagus sekali") + "gp:9,Bima,baru,5,2026-02-02 07:30:00,\n")
    found = source(root, REVIEWS=str(whole))
    assert found.months() == ("2026-02", "2026-02")
    collect(found, root)
    assert sorted(stored(root)["review_text"]) == ["bagus", "bagus sekali", "baru"]


def test_a_run_covers_the_apps_with_news_alone(root):
    params = yaml.safe_load((root / "params.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump(params | {"apps": [APP, "com.other"]}), encoding="utf-8")
    names = []
    for app in (APP, "com.other"):
        (root / f"{app}.csv").write_text(f"app_id,reviewId,content,score,at\n{app},1{app},bagus,5,2026-01-10\n")
        names.append(str(root / f"{app}.csv"))
    collect(source(root, REVIEWS=names[0]), root)
    assert source(root, REVIEWS=",".join(names)).due_apps() == ("com.other",)
    assert source(root, REVIEWS=",".join(names)).apps() == (APP, "com.other")
    assert source(root, REVIEWS=names[0]).due_apps() == (APP,)


def test_a_row_of_the_future_is_taken_when_its_date_has_come(root):
    environ = {"REVIEWS": str(root / "mine.csv")}
    collect(source(root, **environ), root)
    later = source(root, **environ, NOW="2027-06-10T12:00:00Z")
    assert later.months() == ("2026-01", "2027-06")
    collect(later, root)
    assert "gp:4" in set(stored(root)["review_id"])


def test_unchanged_imports_are_not_read_again_and_their_checks_say_the_same(root, whole, reads):
    settings = Settings.load({"NOW": NOW}, root)
    folder = root / "data" / "imports"
    folder.mkdir()
    whole.rename(folder / "whole.csv")
    (folder / "notes.csv").write_text("colour\nred\n")
    take_imports(settings, print)
    before = read_folder(settings)
    reads.clear()
    after = read_new_folder(settings)
    for judge in (imports_are_understood, imports_hold_no_names):
        assert judge(after) == judge(before)
    assert take_imports(settings, print).months_by_app == {}
    assert reads == []
    (folder / "notes.csv").write_text("content,score,at\nmantap,5,2026-02-01\n")
    assert take_imports(settings, print).months_by_app == {APP: ["2026-02"]}
    assert reads == ["notes.csv"]
