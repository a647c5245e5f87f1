"""The weekly digest: what reviews said in the last seven days, as one HTML file that people can forward."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.document import Block, Bullets, Fields, Heading, Paragraph, Picture, Table, html
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.settings import Settings
from mlops_assets.workspace import TOPICS

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.topics.figures import Difference, Release
    from mlops_assets.reviews.topics.stored import StoredTopics, Topic, TopicStore

FOLDER = "digests"
_MONTHS, _RELEASES, _EXAMPLES = 12, 5, 5
_LONGEST_EXAMPLE = 300


@dataclass(frozen=True)
class WeeklyDigest:
    """The digest of the seven days up to `end`: its file, and the same in a few lines for a message."""

    id: str
    path: Path
    title: str
    text: str


def write_digest(settings: Settings, to: Path | None = None) -> WeeklyDigest:
    """Write the digest of the last seven whole days (UTC); by default to `.dagster/digests/<first day>.html`."""
    from mlops_assets.reviews.topics.stored import TopicStore
    from mlops_assets.reviews.topics.weeks import DAYS, week_of

    store = TopicStore(settings.data / TOPICS)
    about = store.about()
    if about is None:
        raise PermanentFailure(
            f"{settings.data / TOPICS} holds no topics: materialize topics, or all of it with make run"
        )
    end = settings.now().replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = end - timedelta(days=DAYS), end - timedelta(days=1)
    apps = week_of(store, about, end)
    reviews = sum(now.negative.n for _, now in apps.values() if now)
    title = f"Reviews from {first:%Y-%m-%d} to {last:%Y-%m-%d}: {reviews} with an answer of the model"
    lines = [_line(app_id, before, now) for app_id, (before, now) in apps.items()]
    blocks: list[Block] = [
        Heading(f"Reviews from {first:%Y-%m-%d} to {last:%Y-%m-%d}", 1),
        Fields(
            [
                ("Reviews with an answer of the model", str(reviews)),
                ("Live model", about.model_version),
                ("Data", about.dataset_version),
                ("Topics found in", f"{_found_in(about)} of data {about.found_data}"),
            ]
        ),
        Bullets(lines or ["No review of the last five weeks has an answer."]),
    ]
    for app_id, (before, now) in apps.items():
        blocks += _of_app(settings, store, about, app_id, before, now)
    blocks.append(
        Paragraph(
            "Shares have 95 % intervals (Wilson; Newcombe for differences). A verdict allows for the number of shares "
            "in its table. The sentiment is the model's and may err; a topic's share is of the negative reviews."
        )
    )
    path = to or settings.instance_folder / FOLDER / f"{first:%Y-%m-%d}.html"
    replace_file(path, html(title, *blocks))
    return WeeklyDigest(f"weekly:{first:%Y-%m-%d}", path, title, "\n".join(lines))


def _line(app_id: str, before: "Release | None", now: "Release | None") -> str:
    if now is None:
        return f"{app_id}: no review this week"
    compared = f"; four weeks before: {before.negative}" if before else ""
    return f"{app_id}: negative {now.negative}{compared}"


def _of_app(
    settings: Settings,
    store: "TopicStore",
    about: "StoredTopics",
    app_id: str,
    before: "Release | None",
    now: "Release | None",
) -> Iterator[Block]:
    from mlops_assets.reviews.topics.figures import compare, newest_pair, releases

    counts = store.counts(about.version)
    counts = counts[counts["app_id"] == app_id]
    negative = [topic for topic in about.topics if topic.sentiment == "negative"]
    yield Heading(app_id)
    if before and now:
        rows = compare(before, now, negative)
        yield _compared(rows, "four weeks before", "this week")
        if len(rows) > 1:
            yield _topics_picture(rows[1:])
    yield from _trend(counts)
    found = releases(counts, negative, 20)
    if found:
        yield Heading("Newest releases of the app", 3)
        yield Table(
            ("Version", "Negative", "First review", "Most frequent complaint"),
            [
                (each.version, str(each.negative), f"{each.first_at:%Y-%m-%d}", _worst(each, negative))
                for each in found[:_RELEASES]
            ],
        )
    if pair := newest_pair(found, app_id):
        yield Heading(f"Version {pair[1].version} compared with {pair[0].version}", 3)
        yield _compared(compare(*pair, negative), f"version {pair[0].version}", f"version {pair[1].version}")
    if now:
        yield from _examples(settings, now, negative)


def _compared(rows: "Sequence[Difference]", before: str, after: str) -> Table:
    verdicts = [
        "within chance" if not row.beyond_chance else f"{'rose' if row.points > 0 else 'fell'} beyond chance"
        for row in rows
    ]
    return Table(
        ("Share", "Verdict", after, before, "Rise in points"),
        [
            (
                row.what,
                verdict,
                str(row.after),
                str(row.before),
                f"{row.points:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]",
            )
            for row, verdict in zip(rows, verdicts, strict=True)
        ],
        ["" if not row.beyond_chance else "bad" if row.points > 0 else "good" for row in rows],
    )


def _topics_picture(rows: "Sequence[Difference]") -> Picture:
    from mlops_assets.reviews.topics.plots import plot_topics

    largest = sorted(rows, key=lambda row: -row.after.hits)[:10]
    titles = [row.what.removeprefix("negative: ") for row in largest]
    about = f"Complaints this week (n = {rows[0].after.n}); grey: the four weeks before (n = {rows[0].before.n})"
    return Picture(plot_topics(titles, [row.before for row in largest], [row.after for row in largest], about), about)


def _trend(counts: "pd.DataFrame") -> Iterator[Block]:
    from mlops_assets.reviews.topics.figures import Share
    from mlops_assets.reviews.topics.plots import plot_trend

    by_month = counts.groupby("month")["reviews"].sum()
    negative = counts[counts["sentiment"] == "negative"].groupby("month")["reviews"].sum()
    months = [str(month) for month in by_month.index[-_MONTHS:]]
    shares: list[Share] = [Share(int(negative.get(month, 0)), int(by_month[month])) for month in months]
    if len(months) > 1:
        yield Picture(plot_trend(months, shares, "Negative reviews by month"), "Share of negative reviews by month")


def _worst(release: "Release", topics: "Sequence[Topic]") -> str:
    told = [topic for topic in topics if topic.id in release.topics and release.topics[topic.id].hits]
    if not told:
        return ""
    worst = max(told, key=lambda topic: release.topics[topic.id].hits)
    return f"{worst.title}: {release.topics[worst.id]}"


def _examples(settings: Settings, now: "Release", topics: "Sequence[Topic]") -> Iterator[Block]:
    """A masked example for each of the largest topics of the week."""
    from mlops_assets.masking import mask
    from mlops_assets.reviews.topics.stored import texts_of_examples

    told = [topic for topic in topics if topic.id in now.topics and now.topics[topic.id].hits]
    told.sort(key=lambda topic: -now.topics[topic.id].hits)
    chosen = [example for topic in told[:_EXAMPLES] for example in topic.examples[:1]]
    texts = texts_of_examples(settings.data, chosen, _LONGEST_EXAMPLE)
    lines = [
        f"{topic.title}: “{mask(texts[example[2]])}”"
        for topic in told[:_EXAMPLES]
        for example in topic.examples[:1]
        if example[2] in texts
    ]
    if lines:
        yield Heading("Typical complaints", 3)
        yield Bullets(lines)


def _found_in(about: "StoredTopics") -> str:
    return " and ".join(f"{count} distinct {sentiment} texts" for sentiment, count in about.found_in.items())
