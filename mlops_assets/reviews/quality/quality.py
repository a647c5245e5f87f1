"""Claims about the quality of a version: what stops it and what warns. Pure; the blocking four are in claims.py."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from mlops_assets.params.reviews import ValidationOptions
from mlops_assets.reviews.files import ids as file_ids
from mlops_assets.reviews.quality.claims import REQUIRED_COLUMNS, Claim
from mlops_assets.reviews.quality.language import app_languages, is_foreign, languages_of
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.label import add_labels

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

_SHOWN = 10
_STANDING = pa.schema([columns.SCHEMA.field(name) for name in ("review_id", "app_id", "source", "deleted_at")])
_TEMPLATE_SAMPLE = 20_000


def quarantine_is_small(good: int, reasons: pd.Series, options: ValidationOptions) -> Claim:
    """At most the parameter's share of the reviews is unusable. `reasons` has one entry for each unusable review."""
    bad, total = len(reasons), good + len(reasons)
    share = 100 * bad / total if total else 0.0
    counts = reasons.str.split("; ").explode().value_counts()
    summary = (
        f"{bad} of {total} reviews ({share:.1f} %) are in quarantine, at most {options.most_quarantined_percent:g} %"
    )
    top = f"; most often: {counts.index[0]} ({counts.iloc[0]})" if bad else ""
    return Claim(
        passed=share <= options.most_quarantined_percent,
        reason=summary + top,
        numbers={"quarantined": bad, "quarantined_percent": share},
        rows=[{"reason": str(reason), "reviews": int(count)} for reason, count in counts.items()],
    )


def files_keep_their_schema(paths: Collection[Path]) -> Claim:
    """Every stored file has the columns and types of a stored review, by its footer."""
    changes = [(path, change) for path in sorted(paths) for change in columns.schema_changes(path)]
    reason = f"{changes[0][0]}: {changes[0][1]}: restore the file, or import it" if changes else f"{len(paths)} files"
    rows = [{"file": str(path), "change": change} for path, change in changes[:20]]
    return Claim(passed=not changes, reason=reason, numbers={"files": len(paths), "changes": len(changes)}, rows=rows)


def no_review_is_lost(
    before: Mapping[str, Path],
    now: Mapping[str, Path],
    raw: Collection[Path],
    *,
    same: Collection[str] = (),
    quarantine: Collection[Path] = (),
    apps: Collection[str] | None = None,
    sources: Collection[str] | None = None,
    is_erased: Callable[[str], bool] = lambda _: False,
) -> Claim:
    """Every review of the last version is in this version, or stored and left out for a reason, or erased on request.

    `before` and `now` are validated files by relative name (`<app_id>/<YYYY-MM>.parquet`), `same` the names of
    files with equal content in both, `raw` all stored files of those apps, `quarantine` all files of unusable reviews.
    A review that moved to another month is in this version. One that is stored, was neither deleted by its author nor
    found unusable, and is of the version's `apps` and `sources` (default: all) was not validated, and would be lost
    without a word.
    """
    old = _ids([path for name, path in before.items() if name not in same])
    gone = _without(old, _ids([path for name, path in now.items() if name not in same and len(old)]))
    if len(gone):
        gone = _without(gone, _ids([path for name, path in now.items() if name in same]))
    reviews_before, reviews_now = (sum(map(columns.row_count, files.values())) for files in (before, now))
    stored = pa.concat_tables([_STANDING.empty_table(), *(_standing(path) for path in raw if len(gone))])
    missing = [str(review_id) for review_id in _without(gone, stored["review_id"]).to_pylist()]
    usable = stored.filter(pc.is_null(stored["deleted_at"]))
    for name, wanted in (("app_id", apps), ("source", sources)):
        if wanted is not None:
            usable = usable.filter(pc.is_in(usable[name], value_set=pa.array(sorted(wanted), pa.string())))
    unusable = _ids(quarantine if len(gone) else ())
    idle = [str(review_id) for review_id in _without(_within(gone, usable["review_id"]), unusable).to_pylist()]
    lost = [*(review_id for review_id in missing if not is_erased(review_id)), *idle]
    where: dict[str, int] = {}
    if lost:
        wanted = pa.array(lost, pa.string())
        for name, path in sorted(before.items()):
            count = pc.sum(pc.is_in(_ids([path]), value_set=wanted)).as_py() or 0
            if count:
                where[name] = count
    explained, without_record = len(gone) - len(missing) - len(idle), len(lost) - len(idle)
    reason = (
        f"{reviews_before} reviews before, {reviews_now} now; {len(gone)} left: {explained} deleted, in quarantine "
    )
    reason += f"or of another source, {len(missing) - without_record} erased"
    most = f", the most from {max(where, key=lambda name: where[name])}" if where else ""
    if without_record:
        reason += f", {without_record} lost without a record{most}: restore data/raw"
    if idle:
        reason += f", {len(idle)} stored and not validated{most}: materialize validated_reviews of their months"
    return Claim(
        passed=not lost,
        reason=reason,
        numbers={"before": reviews_before, "now": reviews_now, "left": len(gone), "lost": len(lost)},
        rows=[{"file": name, "lost": count} for name, count in list(where.items())[:_SHOWN]],
    )


def texts_are_varied(frame: pd.DataFrame, options: ValidationOptions) -> Claim:
    """Few reviews repeat another's text, and few long reviews are a template that was sent many times.

    A repeat is equal without case and surrounding space. A template is a text of at least five words that five reviews
    of a sample share once digits, signs, emoji and spaces are out.
    """
    if (nothing := _unjudged(frame)) is not None:
        return nothing
    # Distinct texts first: folding is what costs, and texts repeat.
    distinct = pa.array(frame["review_text"].fillna(""), pa.string()).unique()
    folded = pc.utf8_trim_whitespace(pc.utf8_lower(distinct))
    repeated = 100 * (1 - pc.count_distinct(folded).as_py() / len(frame))
    sample = _sample(frame, _TEMPLATE_SAMPLE)
    lowered = pc.utf8_lower(pc.utf8_normalize(pa.array(sample["review_text"].fillna(""), pa.string()), form="NFKC"))
    long = pc.greater_equal(pc.count_substring_regex(lowered, pattern=r"\pL+"), 5)
    skeletons = pc.replace_substring_regex(lowered.filter(long), pattern=r"[^\pL]+", replacement="")
    counts = skeletons.value_counts()
    many = counts.filter(pc.greater_equal(counts.field("counts"), 5)).to_pylist()
    many.sort(key=lambda entry: (-entry["counts"], entry["values"]))
    template = 100 * sum(entry["counts"] for entry in many) / len(sample)
    passed = repeated <= options.most_repeated_percent and template <= options.most_template_percent
    return Claim(
        passed=passed,
        reason=(
            f"{repeated:.1f} % of {len(frame)} reviews repeat a text (at most {options.most_repeated_percent:g} %), "
            f"{template:.1f} % of a sample of {len(sample)} are a long text sent five times or more "
            f"(at most {options.most_template_percent:g} %)"
        ),
        numbers={"repeated_percent": repeated, "template_percent": template},
        rows=[{"text": entry["values"][:120], "reviews": entry["counts"]} for entry in many[:_SHOWN]],
    )


def languages_are_known(frame: pd.DataFrame, options: ValidationOptions) -> Claim:
    """Few reviews of the sample are known to be in another language than their app's, or English, which people mix into
    any language. An app's language is that of `validation.language`, or else that of most of its texts.
    """
    if (nothing := _unjudged(frame)) is not None:
        return nothing
    sample = _sample(frame, options.sample)
    expected = app_languages(sample, options.language)
    languages = languages_of(sample, expected)
    foreign = np.array(
        [is_foreign(found, (expected[app], "en")) for app, found in zip(sample["app_id"], languages, strict=True)]
    )
    share = 100 * float(foreign.mean())
    counts = pd.Series(languages).value_counts()
    shown = ", ".join(f"{app} {language}" for app, language in list(expected.items())[:_SHOWN])
    return Claim(
        passed=share <= options.most_foreign_percent,
        reason=(
            f"{share:.1f} % of a sample of {len(sample)} reviews are in another language than their app's ({shown}) "
            f"or English, at most {options.most_foreign_percent:g} % may be; if an app's language is measured wrong, "
            "set validation.language"
        ),
        numbers={
            "foreign_percent": share,
            "sample": len(sample),
            **{str(k): int(v) for k, v in counts.head(6).items()},
        },
        rows=_examples(sample[foreign]),
    )


def stars_match_texts(frame: pd.DataFrame, options: ValidationOptions) -> Claim:
    """Few reviews of the sample have stars that contradict the stars of reviews with similar texts.

    An estimate between two bounds: a linear model learns from four fifths of the sample what one fifth's texts say, in
    turn. It is at least the share of opposite answers that are at least 80 % sure, and at most that of all opposite
    answers, which include the model's own errors. The upper bound is judged.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    if (nothing := _unjudged(frame)) is not None:
        return nothing
    labelled = add_labels(frame[frame["rating"].notna() & frame["review_text"].notna()], "binary")
    sample = _sample(labelled, options.sample)
    positive = (sample["label"] == "positive").to_numpy()
    if min(positive.sum(), (~positive).sum()) < 25:
        return Claim(passed=True, reason=f"not estimated from {len(sample)} labelled reviews, each label needs 25")
    words = HashingVectorizer(n_features=2**15, ngram_range=(1, 2), alternate_sign=False)
    counts: Any = words.fit_transform(sample["review_text"])
    counts = counts[:, np.unique(counts.indices)]
    if not counts.shape[1]:
        return Claim(passed=True, reason=f"not estimated: none of {len(sample)} labelled reviews holds a word")
    # A few texts with opposite stars each, as where everybody writes "bagus": the dual problem does not converge.
    many_words = counts.shape[1] > counts.shape[0]
    model = LogisticRegression(C=10, class_weight="balanced", solver="liblinear", dual=many_words, max_iter=1000)
    probabilities = np.asarray(cross_val_predict(model, counts, positive, cv=5, method="predict_proba"))
    against = np.where(positive, probabilities[:, 0], probabilities[:, 1])
    low, high = 100 * float((against >= 0.8).mean()), 100 * float((against > 0.5).mean())
    surest = np.argsort(-against, kind="stable")[: int((against >= 0.8).sum())]
    return Claim(
        passed=high <= options.most_mismatched_percent,
        reason=(
            f"{low:.1f} to {high:.1f} % of a sample of {len(sample)} labelled reviews have stars that contradict their "
            f"text, at most {options.most_mismatched_percent:g} % may"
        ),
        numbers={"mismatched_percent_low": low, "mismatched_percent_high": high, "sample": len(sample)},
        rows=_examples(sample.iloc[surest]),
    )


def _unjudged(frame: pd.DataFrame) -> Claim | None:
    """A claim that holds because there is nothing to judge; other claims speak of what is missing."""
    if any(name not in frame.columns for name in REQUIRED_COLUMNS):
        return Claim(passed=True, reason="not judged: a column is missing, see required_columns_exist")
    return Claim(passed=True, reason="no reviews to judge") if frame.empty else None


def _sample(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """The same rows for the same frame."""
    return frame if len(frame) <= count else frame.sample(count, random_state=0)


def _examples(rows: pd.DataFrame) -> Sequence[Mapping[str, object]]:
    shown = cast("pd.DataFrame", rows[["review_id", "rating", "review_text"]]).head(_SHOWN)
    return [
        {"review_id": str(row.review_id), "rating": str(row.rating), "review_text": str(row.review_text)[:120]}
        for row in shown.itertuples()
    ]


def _standing(path: Path) -> pa.Table:
    return columns.read_table(path, _STANDING.names)


def _ids(paths: Collection[Path]) -> pa.ChunkedArray:
    found = [_ids_in(path) for path in sorted(paths)]
    return pa.chunked_array([chunk for one in found for chunk in one.chunks], pa.string())


def _ids_in(path: Path) -> pa.ChunkedArray:
    """The ids in a file. A row number, which an older version has kept as one, counts as the id that replaced it."""
    ids = columns.read_rows(path, ["review_id"])["review_id"].cast(pa.string())
    if not pc.any(pc.match_substring_regex(ids, file_ids.WHOLE_ROW_NUMBER)).as_py():
        return ids
    return pa.chunked_array([pa.array(file_ids.with_content_ids(columns.read_frame(path))["review_id"], pa.string())])


def _within(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return ids.filter(pc.is_in(ids, value_set=others))


def _without(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=others)))
