"""The files of an interrupted crawl, as the last released version wrote them."""

import pandas as pd

from mlops_assets.reviews.play_store.crawl_state import CrawlState, Journal, rows_of
from mlops_assets.reviews.stored import columns

STATE = """{
 "language": "id",
 "other_languages": [
  "en"
 ],
 "whole": {
  "since_s": 0,
  "newest_s": 1774008000,
  "newest_ids": [
   14284607558710691043
  ],
  "ended_at": "2026-03-20T12:00:00+00:00"
 },
 "open": {
  "started_at": "2026-03-20T12:00:00+00:00",
  "floor_s": 1577836800,
  "mark_s": null,
  "mark_ids": [],
  "low_s": null,
  "segment": 0,
  "flushed": 1,
  "stuck": 0
 },
 "held": {
  "review_ids": [
   3313850744903612391
  ],
  "reason": "2026-03 would lose 1 of 5 reviews (20 %, limit 5 %)",
  "since_s": 1773975600,
  "checked": false
 },
 "last": {
  "status": "partial",
  "reason": "com.valar.pintu: 429",
  "ended_at": "2026-03-20T12:00:00+00:00",
  "pages": 1
 },
 "format": 1
}"""

PAGE = (
    '{"segment": 0, "reviews": [["gp:000000", "ulasan ke-0", 1, 0, "1.0.0", 1774008000, "Halo", 1774008060, '
    '"f253a35b8666ffc808cd863f4594e509"], ["gp:000001", null, 2, 0, null, 1773997200, null, null, null]], '
    '"scraped_at": "2026-03-20T12:00:00+00:00", "token": "WyJi", "cookies": [{"name": "BACKEND", "value": "b3", '
    '"domain": "", "path": "/"}], "known": 0, "end": null, "low_s": null}\n'
)


def test_the_state_of_a_crawl_is_read_and_written_as_it_was(tmp_path):
    path = tmp_path / "crawl.json"
    path.write_text(STATE, encoding="utf-8")
    state = CrawlState.load(tmp_path, "id")
    assert state.whole is not None
    assert state.open is not None
    assert state.held is not None
    assert (state.whole.newest_s, state.open.floor_s, state.held.since_s) == (1774008000, 1577836800, 1773975600)
    state.save(tmp_path)
    assert path.read_text(encoding="utf-8") == STATE


def test_the_journal_is_read_and_written_as_it_was(tmp_path):
    path = tmp_path / Journal.NAME
    path.write_text(PAGE, encoding="utf-8")
    [page] = Journal(tmp_path).pages()
    Journal(tmp_path).append(page)
    assert path.read_text(encoding="utf-8") == 2 * PAGE


def test_a_page_of_the_journal_becomes_stored_rows(tmp_path):
    (tmp_path / Journal.NAME).write_text(PAGE, encoding="utf-8")
    rows = rows_of("com.valar.pintu", Journal(tmp_path).pages())
    assert list(rows.columns) == list(columns.COLUMNS)
    first, second = rows.to_dict("records")
    assert (first["review_id"], first["app_id"], first["source"]) == ("gp:000000", "com.valar.pintu", "play_store")
    assert (first["review_text"], first["rating"], first["reply_text"]) == ("ulasan ke-0", 1, "Halo")
    assert first["review_date"] == pd.Timestamp("2026-03-20T12:00:00Z")
    assert first["reply_date"] == pd.Timestamp("2026-03-20T12:01:00Z")
    assert first["scraped_at"] == pd.Timestamp("2026-03-20T12:00:00Z")
    assert pd.isna(second["review_text"])
    assert pd.isna(second["reply_date"])
    assert pd.isna(second["author"])
