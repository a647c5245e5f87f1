"""What the collector promises about reviews that change or vanish, and about several apps."""

from datetime import timedelta

import pandas as pd
import pytest

from mlops_assets.reviews.play_store.collect import (
    collect_apps,
    last_collection,
    months_between,
)
from tests.collection_cases import APP, NOW, OPTIONS, OTHER, Collecting, feed_of, seconds, shown, stored
from tests.fakes.play_store import Fault
from tests.unit.reviews.rows import history_months


class ChangeCases(Collecting):
    def test_a_feed_that_ends_too_early_deletes_nothing(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        tick("2020-01")
        fake.faults = [Fault("lies end", at=1)]
        fake.requests.clear()
        held = tick()
        assert (held.status, held.changes.deleted, held.held) == ("partial", 0, 75)
        assert "accept_deletions" in held.reason
        assert stored(store) == shown(fake)
        # The next run reads again what was missing, and finds it.
        assert tick().whole
        assert stored(store) == shown(fake)

    def test_too_many_deletions_wait_for_a_person(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        tick("2020-01")
        for number in range(30, 40):
            fake.delete(APP, f"gp:{number:06}")
        first = tick("2020-01", reread=True)
        assert (first.status, first.held, first.changes.deleted) == ("partial", 10, 0)
        second = tick()
        assert (second.status, second.held) == ("partial", 10)
        fake.requests.clear()
        third = tick()
        assert (third.status, len(fake.requests) <= 2) == ("partial", True)
        accepted = tick(options=OPTIONS.model_copy(update={"accept_deletions": True}))
        assert (accepted.status, accepted.changes.deleted) == ("whole", 10)
        assert stored(store) == shown(fake)

    @pytest.mark.parametrize(("gone", "status"), [(5, "whole"), (6, "partial")])
    def test_the_limit_of_deletions_is_inclusive(self, fake, tick, gone, status):
        fake.add(APP, feed_of(100, every=timedelta(minutes=1)))
        tick("2020-01")
        for number in range(gone):
            fake.delete(APP, f"gp:{50 + number:06}")
        assert tick("2020-01", reread=True).status == status

    def test_a_review_that_vanished_is_marked_and_one_that_returns_lives_again(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        tick("2020-01")
        kept = fake.apps[APP]["gp:000007"]
        fake.delete(APP, "gp:000007")
        later = NOW + timedelta(hours=1)
        assert tick(now=later).changes.deleted == 1
        assert stored(store) == shown(fake)
        rows = store.read(APP, "2026-03")
        assert rows.loc[rows["review_id"] == "gp:000007", "deleted_at"].item() == pd.Timestamp(later)
        fake.add(APP, [kept])
        assert tick("2020-01", now=later + timedelta(hours=1), reread=True).whole
        assert stored(store) == shown(fake)

    def test_an_edited_review_moves_to_its_new_month_and_the_old_text_stays_in_the_history(self, fake, store, tick):
        fake.add(APP, feed_of(95, last=NOW - timedelta(days=30)))
        tick("2020-01")
        fake.edit(APP, "gp:000050", text="kini bagus", stars=5, at_s=seconds(NOW))
        result = tick()
        assert (result.changes.edited, result.changes.moved) == (1, 1)
        assert {"2026-02", "2026-03"} <= set(result.changes.months)
        assert stored(store) == shown(fake)
        history = pd.concat([store.read_history(APP, month) for month in history_months(store, APP)])
        assert history["review_text"].tolist() == ["ulasan ke-50"]

    def test_a_reply_that_comes_later_updates_its_row(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        tick("2020-01")
        fake.edit(APP, "gp:000003", reply="Terima kasih", replied_at_s=seconds(NOW) + 60)
        assert tick().changes.updated == 1
        rows = store.read(APP, "2026-03").set_index("review_id")
        assert rows.loc["gp:000003", "reply_text"] == "Terima kasih"
        assert rows.loc["gp:000003", "reply_date"] == pd.Timestamp(NOW + timedelta(seconds=60))

    def test_a_backfill_of_covered_months_reads_them_again_in_one_pass(self, fake, tick):
        fake.add(APP, feed_of(200))
        tick("2026-02", "2026-03")
        fake.edit(APP, "gp:000150", reply="Terima kasih", replied_at_s=seconds(NOW))
        fake.requests.clear()
        result = tick("2026-02", "2026-03", reread=True)
        assert (result.whole, result.changes.updated) == (True, 1)
        assert len(set(fake.tokens(APP))) == len(fake.requests) == 10

    def test_an_earlier_month_extends_what_is_whole(self, fake, tick):
        fake.add(APP, feed_of(500))
        assert tick("2026-03").reason == "covered the requested months"
        assert tick("2026-02").reason == "covered the requested months"
        fake.requests.clear()
        assert tick("2026-02", "2026-03").whole
        assert len(fake.requests) <= 2

    def test_an_unknown_app_does_not_stop_the_others(self, fake, store, connect):
        fake.add(APP, feed_of(40))
        found = collect_apps(store, connect(fake), {OTHER: ["2026-03"], APP: ["2026-03"]}, now=NOW, options=OPTIONS)
        assert [(one.app_id, one.status) for one in found] == [(OTHER, "unknown"), (APP, "whole")]
        assert OTHER in found[0].reason
        assert last_collection(store, OTHER, OPTIONS)[0] == "unknown"
        assert len(stored(store)) == 40

    def test_an_app_that_the_store_forgot_keeps_its_reviews(self, fake, store, tick):
        fake.add(APP, feed_of(95))
        tick("2020-01")
        before = stored(store)
        del fake.apps[APP]
        assert tick().status == "unknown"
        assert stored(store) == before

    @pytest.mark.slow
    def test_several_apps_side_by_side_stay_apart(self, fake, store, connect):
        apps = [f"com.example.app{letter}" for letter in "abcdef"]
        for number, app_id in enumerate(apps):
            fake.add(app_id, feed_of(60 + number, first=number * 1000))
        months = months_between("2026-01", "2026-03")
        found = collect_apps(store, connect(fake), dict.fromkeys(apps, months), now=NOW, options=OPTIONS)
        assert all(one.whole for one in found)
        for app_id in apps:
            assert stored(store, app_id) == shown(fake, app_id)

    def test_two_countries_of_one_language_are_one_row_per_review(self, fake, tick):
        fake.add(APP, feed_of(40))
        tick("2020-01", options=OPTIONS.model_copy(update={"country": "ID"}))
        again = tick("2020-01", options=OPTIONS.model_copy(update={"country": "US"}), reread=True)
        assert (again.changes.new, again.changes.unchanged) == (0, 40)

    def test_the_feed_of_another_language_deletes_nothing_of_the_first(self, fake, store, tick):
        fake.add(APP, feed_of(40))
        tick("2020-01")
        fake.apps[APP] = {}
        fake.add(APP, feed_of(10, first=7000))
        english = tick("2020-01", options=OPTIONS.model_copy(update={"language": "en"}))
        assert (english.whole, english.changes.deleted, english.changes.new) == (True, 0, 10)
        assert len(stored(store)) == 50
