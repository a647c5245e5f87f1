"""Which reviews people should label: from what the models say of the version's reviews."""

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import ClassicRecipe
from mlops_assets.settings import Settings
from mlops_assets.steps.version import usable_reviews
from mlops_assets.training.metrics import LEAST_LABELLED
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops_assets.reviews.labels.queue import Queue, Waiting, Why

_LOOK_EACH_S = 10
"""Between two looks for a newer version."""
_DRAWN, _ASKED, _DOUBTFUL = 1000, 2000, 100
"""Held-out texts in the queue; texts of the train side that the models are asked about (half a minute for BERT on two
cores); texts of the train side whose label is the most doubtful."""


class NewestQueue:
    """The queue of the newest data version, made in the background, and made anew when there is a newer version."""

    def __init__(self, version: Callable[[], str | None], make: "Callable[[], Queue]") -> None:
        self._version, self._make = version, make
        self._pool, self._lock = ThreadPoolExecutor(1), threading.Lock()
        self._queue: Queue | None = None
        self._coming: Future[Queue] | None = None
        self._made_of: str | None = None
        self._looked = float("-inf")

    def __call__(self) -> "Queue | None":
        """The queue; None while the first one is being made. Raises what went wrong in making it."""
        with self._lock:
            if self._coming is not None and self._coming.done():
                done, self._coming = self._coming, None
                self._made_of, made_of = None, self._made_of
                self._queue, self._made_of = done.result(), made_of
            if self._coming is None and time.monotonic() > self._looked + _LOOK_EACH_S:
                version = self._version()
                if version is None:
                    raise PermanentFailure("there is no data version to label yet: let the pipeline run first")
                self._looked = time.monotonic()
                if version != self._made_of:
                    self._made_of, self._coming = version, self._pool.submit(self._make)
            return self._queue

    def wait(self) -> None:
        """Return when there is a queue."""
        while self() is None:
            if self._coming is not None:
                wait([self._coming])


def label_queue(settings: Settings, repository: VersionRepository, report: Callable[[str], None]) -> "Queue":
    """The texts to label of the newest version. The models that are there are asked; without any, texts are drawn."""
    from mlops_assets.reviews.labels.queue import Queue
    from mlops_assets.reviews.stored.label import LABELS

    if repository.dataset_version() is None:
        raise PermanentFailure("there is no data version to label: make run first")
    texts = _distinct(usable_reviews(settings, repository))
    held_out = texts[texts["side"] != "train"]
    train = texts[texts["side"] == "train"]
    report(f"{len(texts)} distinct texts, {len(held_out)} of them held out")
    return Queue(
        drawn=_waiting(held_out.head(_DRAWN), dict.fromkeys(held_out.index, "drawn")),
        chosen=_chosen(settings, train, report),
        held_out=frozenset(held_out.index),
        labels=frozenset(LABELS[settings.label_rule]),
        wanted=LEAST_LABELLED,
    )


def _distinct(reviews: "pd.DataFrame") -> "pd.DataFrame":
    """The newest row of each text by the text's digest, in random order: that of another hash than the sides'."""
    from mlops_assets.text import text_digest

    rows = reviews[reviews["review_text"].notna()]
    digest_of = {text: text_digest(text) for text in rows["review_text"].unique()}
    rows = rows.assign(digest=rows["review_text"].map(digest_of)).drop_duplicates("digest", keep="last")
    order = rows["digest"].map(lambda digest: hashlib.sha256(f"queue {digest}".encode()).hexdigest())
    return rows.loc[order.sort_values().index].set_index("digest")


def _chosen(settings: Settings, train: "pd.DataFrame", report: Callable[[str], None]) -> "list[Waiting]":
    from mlops_assets.reviews.labels.queue import in_turn

    unlabelled = train[train["person"].isna()]
    asked = _asked(settings, unlabelled)
    answers = _answers(settings, asked, report)
    doubtful = _doubtful(settings, train, report)
    order: dict[str, Why] = dict.fromkeys(doubtful, "doubtful")
    for text, why in in_turn(_telling(asked, answers) if answers else {"unsure": asked.index.tolist()}).items():
        order.setdefault(text, why)
    return _waiting(train, order)


def _asked(settings: Settings, texts: "pd.DataFrame") -> "pd.DataFrame":
    """Texts that the models are asked about: half are those on which the serving model was least sure."""
    import pandas as pd

    from mlops_assets.reviews.predictions.month import confidences
    from mlops_assets.reviews.predictions.stored import rows_of
    from mlops_assets.text import key_of

    keys = texts.index.map(key_of)
    unsure = pd.Series(dtype="float64")
    for table in rows_of(settings.predictions, ["text_key", "probabilities"]):
        said = pd.Series(confidences(table), index=table["text_key"].to_pylist())
        said = pd.concat([unsure, said[said.index.isin(keys)]])
        unsure = said[~said.index.duplicated()].nsmallest(_ASKED // 2)
    first = texts.loc[keys.isin(unsure.index)]
    return texts.loc[[*first.index, *texts.index.difference(unsure.index, sort=False)[: _ASKED - len(first)]]]


def _answers(
    settings: Settings, texts: "pd.DataFrame", report: Callable[[str], None]
) -> "dict[str, tuple[list[str], np.ndarray]]":
    """Model kind -> labels and probabilities (n, labels), of the models that are here."""
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.champion import candidates

    found = {}
    for kind in candidates(settings.models):
        if texts.empty:
            break
        report(f"asking {kind} about {len(texts)} texts")
        model = load(settings.models / kind)
        found[kind] = (list(model.labels), model.probabilities(texts["review_text"].tolist()))
    return found


def _telling(texts: "pd.DataFrame", answers: "dict[str, tuple[list[str], np.ndarray]]") -> "dict[Why, list[str]]":
    """Texts on which models differ, whose stars contradict all models, and on which a model is unsure; worst first."""
    import numpy as np
    import pandas as pd

    said = pd.DataFrame(
        {kind: np.asarray(labels, dtype=object)[odds.argmax(axis=1)] for kind, (labels, odds) in answers.items()},
        index=texts.index,
    )
    sure = pd.Series(np.mean([odds.max(axis=1) for _, odds in answers.values()], axis=0), index=texts.index)
    differ = said.nunique(axis=1) > 1
    contradict = texts["label"].notna() & said.ne(texts["label"], axis=0).all(axis=1)
    return {
        "differ": sure[differ].sort_values(ascending=False).index.tolist(),
        "contradict": sure[contradict & ~differ].sort_values(ascending=False).index.tolist(),
        "unsure": sure[~differ & ~contradict].sort_values().index.tolist(),
    }


def _doubtful(settings: Settings, train: "pd.DataFrame", report: Callable[[str], None]) -> list[str]:
    """Texts whose label is the least likely by a model that never saw them, the most doubtful first."""
    from mlops_assets.training.classic.noise import self_confidence

    labelled = train[train["label"].notna() & train["person"].isna()]
    confidence = self_confidence(
        labelled["review_text"].tolist(), labelled["label"].tolist(), settings.section(ClassicRecipe)
    )
    if confidence is None:
        return []
    report(f"{len(confidence)} labels of the train side were compared with cross-validated answers")
    worst = sorted(confidence, key=lambda number: confidence[number])[:_DOUBTFUL]
    return [labelled.index[number] for number in worst if confidence[number] < 0.5]


def _waiting(texts: "pd.DataFrame", order: "dict[str, Why]") -> "list[Waiting]":
    from mlops_assets.reviews.labels.queue import Waiting

    rows = texts[["review_text", "app_id", "review_date"]].to_dict("index")
    return [
        Waiting(text, rows[text]["review_text"], rows[text]["app_id"], f"{rows[text]['review_date']:%Y-%m-%d}", why)
        for text, why in order.items()
        if text in rows
    ]
