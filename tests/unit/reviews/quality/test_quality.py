import numpy as np
import pandas as pd
import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.quality import quality
from mlops_assets.reviews.quality.quality import ValidationOptions
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored import columns
from tests.unit.reviews.rows import APP, frame, review

OPTIONS = ValidationOptions()


@pytest.fixture(scope="module")
def usual():
    return pd.concat([sample.generate(f"2026-{month:02d}") for month in range(1, 5)], ignore_index=True)


def test_usual_reviews_keep_every_claim(usual):
    assert quality.texts_are_varied(usual, OPTIONS).passed
    assert quality.languages_are_known(usual, OPTIONS).passed
    assert quality.stars_match_texts(usual, OPTIONS).passed


@pytest.mark.parametrize(("bad", "passed"), [(0, True), (5, True), (6, False)])
def test_the_share_in_quarantine_is_limited(bad, passed):
    reasons = pd.Series(["text is empty; rating is missing"] * bad, dtype="str")
    claim = quality.quarantine_is_small(100 - bad, reasons, OPTIONS)
    assert claim.passed == passed
    assert claim.numbers["quarantined_percent"] == bad
    assert len(claim.rows) == (2 if bad else 0)


def test_a_version_without_any_review_has_no_share_in_quarantine():
    assert quality.quarantine_is_small(0, pd.Series([], dtype="str"), OPTIONS).passed


def test_a_file_with_another_column_type_is_named(tmp_path):
    columns.write_frame(frame(review("1")), tmp_path / "a.parquet")
    assert quality.files_keep_their_schema([tmp_path / "a.parquet"]).passed
    pd.DataFrame({"review_id": ["1"], "rating": [5.0]}).to_parquet(tmp_path / "b.parquet")
    claim = quality.files_keep_their_schema([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert not claim.passed
    assert "b.parquet" in claim.reason
    assert {"file": str(tmp_path / "b.parquet"), "change": "column rating is double, must be int64"} in claim.rows


class TestLoss:
    @pytest.fixture
    def files(self, tmp_path):
        def write(folder: str, **months: list) -> dict[str, object]:
            written = {}
            for month, ids in months.items():
                name = f"{APP}/2026-{month[1:]}.parquet"
                rows = [review(one) if isinstance(one, str) else one for one in ids]
                columns.write_frame(frame(*rows), tmp_path / folder / name)
                written[name] = tmp_path / folder / name
            return written

        return write

    def test_growth_moves_deletions_and_quarantine_are_explained(self, files):
        before = files("before", m01=["a", "b", "c", "f"], m02=["d"])
        now = files("now", m01=["a"], m02=["d", "b", "e"])
        deleted = review("f", deleted_at="2026-02-01")
        raw = files("raw", m01=["a", "c", deleted], m02=["d", "b", "e"])
        unusable = files("quarantine", m01=["c"])
        claim = quality.no_review_is_lost(before, now, raw.values(), quarantine=unusable.values())
        assert claim.passed
        assert claim.numbers == {"before": 5, "now": 4, "left": 2, "lost": 0}

    def test_a_review_that_is_stored_and_was_not_validated_is_lost(self, files):
        before = files("before", m01=["a", "b"], m02=["c"])
        raw = files("raw", m01=["a", "b"], m02=["c"])
        now = files("now", m02=["c"])
        claim = quality.no_review_is_lost(before, now, raw.values())
        assert not claim.passed
        assert claim.rows == [{"file": f"{APP}/2026-01.parquet", "lost": 2}]
        assert "2 stored and not validated" in claim.reason
        assert "materialize validated_reviews" in claim.reason

    @pytest.mark.parametrize("change", [{"apps": {"another.app"}}, {"sources": {"sample"}}])
    def test_a_review_of_another_source_or_app_was_left_out_on_purpose(self, files, change):
        before = raw = files("raw", m01=["a"])
        assert not quality.no_review_is_lost(before, {}, raw.values()).passed
        assert quality.no_review_is_lost(before, {}, raw.values(), **change).passed

    def test_a_review_that_is_stored_nowhere_is_lost(self, files):
        before = files("before", m01=["a", "b", "c"])
        raw = files("raw", m01=["a"])
        claim = quality.no_review_is_lost(before, raw, raw.values())
        assert not claim.passed
        assert claim.numbers["lost"] == 2
        assert claim.rows == [{"file": f"{APP}/2026-01.parquet", "lost": 2}]
        assert "restore data/raw" in claim.reason

    def test_an_erased_review_is_explained(self, files):
        before = files("before", m01=["a", "b"])
        raw = files("raw", m01=["a"])
        claim = quality.no_review_is_lost(before, raw, raw.values(), is_erased=lambda review_id: review_id == "b")
        assert claim.passed
        assert "1 erased" in claim.reason

    def test_a_first_version_loses_nothing(self, files):
        raw = files("raw", m01=["a"])
        assert quality.no_review_is_lost({}, raw, raw.values()).passed


def with_text(rows: pd.DataFrame, share: float, text: str) -> pd.DataFrame:
    hit = rows.sample(frac=share, random_state=1).index
    numbered = [text.format(n=number) for number in range(len(hit))]
    changed = rows["review_text"].copy()
    changed[hit] = numbered
    return rows.assign(review_text=changed)


def test_a_flood_of_one_text_is_seen(usual):
    claim = quality.texts_are_varied(with_text(usual, 0.7, "bagus"), OPTIONS)
    assert not claim.passed
    assert claim.numbers["repeated_percent"] > 60
    assert claim.numbers["template_percent"] == 0


def test_a_template_with_changing_numbers_is_seen(usual):
    spam = with_text(usual, 0.12, "Pakai kode undangan AB{n} dapat bonus saldo {n} rupiah!!")
    claim = quality.texts_are_varied(spam, OPTIONS)
    assert not claim.passed
    assert claim.rows[0]["text"] == "pakaikodeundanganabdapatbonussaldorupiah"


def test_foreign_reviews_are_seen_with_examples(usual):
    claim = quality.languages_are_known(with_text(usual, 0.15, "muy buena aplicacion para todos los dias"), OPTIONS)
    assert not claim.passed
    assert claim.numbers["foreign_percent"] == pytest.approx(15, abs=1)
    assert "muy buena" in str(claim.rows[0]["review_text"])


def test_an_apps_language_is_measured_on_its_texts_unless_params_name_it(usual):
    spanish = with_text(usual, 0.9, "muy buena aplicacion para todos los dias")
    measured = quality.languages_are_known(spanish, OPTIONS)
    app = str(usual["app_id"].iloc[0])
    assert measured.passed
    assert f"{app} es" in measured.reason
    named = quality.languages_are_known(spanish, ValidationOptions(language={app: "id"}))
    assert not named.passed
    assert named.numbers["foreign_percent"] > 80


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["bagus"], "stars that contradict"),
        (["bagus", "ok", "jelek", "lumayan"], "stars that contradict"),
        (["👍", "😀", "!"], "not estimated: none of 400 labelled reviews holds a word"),
    ],
)
def test_a_few_texts_with_every_star_are_estimated_without_a_warning(texts, said):
    rng = np.random.default_rng(0)
    reviews = pd.DataFrame(
        {
            "review_id": [f"r{n}" for n in range(400)],
            "review_text": rng.choice(texts, 400),
            "rating": pd.array(rng.choice([1, 5], 400), dtype="Int64"),
        }
    )
    assert said in quality.stars_match_texts(reviews, OPTIONS).reason


def test_turned_stars_are_seen(usual):
    rated = usual[usual["rating"] != 3]
    before = quality.stars_match_texts(rated, OPTIONS)
    hit = rated.sample(frac=0.35, random_state=1).index
    turned = rated.assign(rating=rated["rating"].where(~rated.index.isin(hit), 6 - rated["rating"]))
    after = quality.stars_match_texts(turned, OPTIONS)
    assert 1 < before.numbers["mismatched_percent_low"] < before.numbers["mismatched_percent_high"] < 20
    assert not after.passed
    assert before.rows[0]["review_text"]


def test_the_sample_is_stated_and_the_same_every_time(usual):
    options = ValidationOptions(sample=200)
    first, second = (quality.languages_are_known(usual, options) for _ in range(2))
    assert first == second
    assert "a sample of 200 reviews" in first.reason


@pytest.mark.parametrize("judge", [quality.texts_are_varied, quality.languages_are_known, quality.stars_match_texts])
def test_no_reviews_and_no_column_warn_of_nothing(judge):
    assert judge(columns.empty(), OPTIONS).passed
    assert judge(frame(review("1")).drop(columns="review_text"), OPTIONS).passed
    assert judge(frame(review("1")).drop(columns="rating"), OPTIONS).passed


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"most": 5}, "validation.most is no parameter"),
        ({"most_foreign_percent": 101}, "must be a number from 0 to 100"),
        ({"most_foreign_percent": "5"}, "must be a number"),
        ({"sample": 10}, "whole number from 100"),
    ],
)
def test_parameters_out_of_range_are_refused(section, message):
    with pytest.raises(PermanentFailure, match=message):
        ValidationOptions.from_params(section)


def test_parameters_replace_the_defaults():
    assert ValidationOptions.from_params({"most_foreign_percent": 3}).most_foreign_percent == 3
