"""Find what negative and positive reviews are about, and keep it up to date month by month."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.files import stamp
from mlops_assets.params.topics import TopicRules
from mlops_assets.settings import Settings
from mlops_assets.steps.plan import topics_due, topics_made_of
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.version import current_dataset_version
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import TOPIC_NAMES, TOPICS

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.topics.model import TopicModel
    from mlops_assets.reviews.topics.stored import StoredTopics, TopicStore
    from mlops_assets.training.due import Due

_EXAMPLES = 3
_KEPT_REVIEWS = 100_000
"""So many reviews are kept in memory between finding topics and giving reviews to them."""
_FOUND_WITH = ("count", "least_texts", "sample_texts", "common_percent")
"""The parameters that decide which topics are found."""
_METHOD = 1
"""Counts up when the code finds other topics in the same texts."""


@dataclass(frozen=True)
class FoundTopics:
    """The topics, what was done for them and why.

    anew: why the topics themselves were found anew, empty if they were kept
    months: the months whose reviews were given to topics
    """

    due: "Due"
    about: "StoredTopics"
    counts: "pd.DataFrame"
    anew: str = ""
    months: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Month:
    """A month with its two files, and what a change of either changes."""

    app_id: str
    month: str
    reviews: Path
    answers: Path

    @property
    def name(self) -> str:
        return f"{self.app_id}/{self.month}"

    @property
    def made_of(self) -> str:
        return repr((stamp(self.reviews), stamp(self.answers)))


class _Answered:
    """Reads the answered reviews of months. Few of them stay in memory: finding topics anew needs them twice."""

    def __init__(self) -> None:
        self._kept: dict[str, pd.DataFrame] = {}
        self._room = _KEPT_REVIEWS

    def of(self, month: _Month) -> "pd.DataFrame":
        from mlops_assets.reviews.topics.assign import answered

        if (rows := self._kept.pop(month.name, None)) is not None:
            return rows
        rows = answered(month.reviews, month.answers)
        if len(rows) <= self._room:
            self._room -= len(rows)
            self._kept[month.name] = rows
        return rows


def find_topics(settings: Settings, repository: VersionRepository) -> FoundTopics:
    """Bring `data/topics` up to date with the predictions. Only months that changed are read, unless topics are found
    anew.
    """
    from mlops_assets.reviews.topics.stored import TopicStore

    refuse_missing_upstream("topics", settings, repository)
    dataset_version = current_dataset_version(repository)
    due = topics_due(settings, dataset_version)
    store = TopicStore(settings.data / TOPICS)
    about = store.about()
    if not due and about is not None:
        return FoundTopics(due, about, store.counts())
    return _bring_up_to_date(settings, repository, store, due, dataset_version)


def _bring_up_to_date(
    settings: Settings, repository: VersionRepository, store: "TopicStore", due: "Due", dataset_version: str
) -> FoundTopics:
    import pandas as pd

    from mlops_assets.reviews.topics.assign import assign
    from mlops_assets.reviews.topics.names import named
    from mlops_assets.reviews.topics.stored import counts_of, with_examples

    made_of = topics_made_of(settings, dataset_version)
    before, rules, months = store.about(), settings.section(TopicRules), _months(settings, repository)
    reviews = sum(map(_rows, months))
    anew = _why_anew(before, rules, reviews)
    about, reader = before, _Answered()
    if about is None or anew:
        about = _found_anew(settings, store, before, months, reader, dataset_version, reviews)
    models = store.models(about.version)
    about = named(about, settings.root / TOPIC_NAMES, {sentiment: model.given for sentiment, model in models.items()})
    changed = [month for month in months if about.months.get(month.name) != month.made_of]
    counts = store.counts(about.version)
    gone = {month.name for month in changed} | (set(about.months) - {month.name for month in months})
    parts = [counts[~(counts["app_id"] + "/" + counts["month"]).isin(gone)]]
    for month in changed:
        rows = assign(reader.of(month), models)
        store.write_month(about.version, month.app_id, month.month, rows)
        parts.append(counts_of(month.app_id, month.month, rows))
    counts = pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else counts
    counts = counts.sort_values(["app_id", "month", "app_version", "sentiment", "topic"], ignore_index=True)
    store.write_counts(about.version, counts)
    about = replace(
        about,
        made_of=made_of,
        dataset_version=dataset_version,
        model_version=_model_version(settings),
        months={month.name: month.made_of for month in months},
    )
    about = with_examples(about, store.examples(about, _EXAMPLES))
    store.write_about(about)
    return FoundTopics(due, about, counts, anew, tuple(month.name for month in changed))


def _months(settings: Settings, repository: VersionRepository) -> list[_Month]:
    """The months with answers, by name."""
    from mlops_assets.reviews.stored.months import files_below

    found: list[_Month] = []
    for name, path in files_below(repository.data_folder / "validated").items():
        app_id, file = name.split("/")
        answers = settings.predictions / app_id / file
        if answers.is_file():
            found.append(_Month(app_id, path.stem, path, answers))
    return found


def _rows(month: _Month) -> int:
    from mlops_assets.reviews.stored.columns import row_count

    return row_count(month.answers)


def _why_anew(before: "StoredTopics | None", rules: TopicRules, reviews: int) -> str:
    """Why the topics have to be found anew; empty if they need not."""
    if before is None:
        return "there are no topics yet"
    if before.recipe != _recipe(rules):
        return "the parameters or the method of finding topics changed"
    grown = 100 * (reviews / max(1, before.reviews) - 1)
    if grown >= rules.refit_percent or (reviews and not before.topics and reviews > before.reviews):
        return f"the topics were found in {before.reviews} reviews, now there are {reviews}"
    return ""


def _recipe(rules: TopicRules) -> str:
    values = json.dumps([_METHOD, *(getattr(rules, name) for name in _FOUND_WITH)])
    return hashlib.sha256(values.encode()).hexdigest()[:12]


def _found_anew(
    settings: Settings,
    store: "TopicStore",
    before: "StoredTopics | None",
    months: list[_Month],
    reader: _Answered,
    dataset_version: str,
    reviews: int,
) -> "StoredTopics":
    """The new topics, with no month counted yet."""
    from mlops_assets.reviews.topics.assign import texts_of
    from mlops_assets.reviews.topics.model import find_topics as find
    from mlops_assets.reviews.topics.sample import TextSample
    from mlops_assets.reviews.topics.stored import SENTIMENTS, StoredTopics, Topic

    rules = settings.section(TopicRules)
    samples = {sentiment: TextSample(rules.sample_texts) for sentiment in SENTIMENTS}
    for month in months:
        rows = reader.of(month)
        for sentiment, sample in samples.items():
            sample.add(texts_of(rows, sentiment))
    old: Mapping[str, TopicModel] = store.models(before.version) if before else {}
    texts = {sentiment: sample.texts() for sentiment, sample in samples.items()}
    models = {
        sentiment: find(texts[sentiment], rules, sentiment, old.get(sentiment), others=texts[other])
        for sentiment, other in (SENTIMENTS, SENTIMENTS[::-1])
    }
    topics = [
        Topic(topic, sentiment, tuple(words))
        for sentiment, model in models.items()
        for topic, words in model.top_words().items()
    ]
    ids_before = {topic.id for topic in before.topics} if before else set[str]()
    kept = len(ids_before & {topic.id for topic in topics})
    return StoredTopics(
        version=store.write_models(models),
        made_of="",
        recipe=_recipe(rules),
        found_in={sentiment: len(texts[sentiment]) for sentiment in SENTIMENTS},
        found_at=settings.now().isoformat(timespec="seconds"),
        found_data=dataset_version,
        reviews=reviews,
        dataset_version=dataset_version,
        model_version="",
        ids_kept=(kept, len(ids_before)) if ids_before else None,
        topics=topics,
    )


def _model_version(settings: Settings) -> str:
    from mlops_assets.training.champion import last_decision

    return last_decision(settings.models).model_version
