"""Make a data version of the usable reviews, and read what the newest one holds."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import artifact
from mlops_assets.deploy.service import Service
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.reviews.sources.references import reference_files, statuses
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.spread.spread import Spread, here
from mlops_assets.steps.judge_reviews import Evidence, refuse_broken
from mlops_assets.steps.plan import StageDue, due_below
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.prune import existing_log
from mlops_assets.trained_on import SAMPLE_SOURCE
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.git.pipeline_commit import LABELS, REFERENCE_RAW, REFERENCE_VALIDATED
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.version_writer import DataVersion

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.stored.counts import Counts, Labelling
    from mlops_assets.reviews.stored.split import Split

_SHOWN = 20
"""Versions in the table of `versioned_dataset`; `make versions` lists all."""


@dataclass(frozen=True)
class VersionedReviews:
    """The version, its labelled reviews in numbers, what is due below it, the newest versions as table rows, how many
    reviews it holds of each reference app, and why it is without some of those apps.
    """

    version: DataVersion
    counts: "Counts"
    due: tuple[StageDue, ...]
    newest: tuple[dict[str, Any], ...]
    references: Mapping[str, int]
    without: tuple[str, ...]
    feedback: str
    """What became of the service's feedback; empty if there is none."""

    @property
    def sides(self) -> list[dict[str, Any]]:
        """The sides with their labelled reviews, and their percents of the distinct texts."""
        from mlops_assets.reviews.stored.split import SIDES, Split

        percents = Split.parse(self.counts.split).percents
        return [
            {
                "side": side,
                "reviews": self.counts.sides.get(side, 0),
                "percent of distinct texts": f"{percents[side]:g}",
            }
            for side in SIDES
        ]

    @property
    def anything_due(self) -> bool:
        return any(stage.due for stage in self.due)

    @property
    def reason(self) -> str:
        return "; ".join(f"{stage.stage}: {stage.reason}" for stage in self.due if stage.due) or "nothing below is due"


def make_version(  # noqa: PLR0913 - what a version is made of; each is a different thing
    settings: Settings,
    source: ReviewSource,
    repository: VersionRepository,
    service: Service,
    git_history: GitHistory,
    *,
    run_id: str,
    force_retrain: bool,
    skip_deploy: bool,
    spread: Spread = here,
) -> VersionedReviews:
    """The stored reviews of this source as a version, the one that is there if nothing changed.

    Raises `PermanentFailure` if a claim that stops a version is broken.
    """
    feedback = _take_feedback(settings)
    version, counts = commit_version(settings, source, repository, run_id, spread)
    due = due_below(
        settings,
        service,
        git_history,
        version.dataset_version,
        counts,
        force_retrain=force_retrain,
        skip_deploy=skip_deploy,
    )
    live = service.live()
    newest = repository.versions(live.model_version if live else None, newest=_SHOWN)
    rows = tuple(each.row() for each in newest)
    held = reference_rows(repository)
    without = [f"{app.app_id}: {app.reason}" for app in statuses(settings, source.name) if app.app_id not in held]
    return VersionedReviews(version, counts, tuple(due), rows, held, tuple(without), feedback)


def _take_feedback(settings: Settings) -> str:
    """Take the service's feedback into the labels; what became of it, empty if there is none.

    A log that cannot be read holds no run up: the next one reads it again.
    """
    from mlops_assets.reviews.labels.feedback import take_feedback
    from mlops_assets.reviews.labels.table import FOLDER, LabelTable
    from mlops_assets.reviews.stored.months import content_key, files_below
    from mlops_assets.reviews.stored.usable import read_usable
    from mlops_assets.serving.access import ANONYMOUS
    from mlops_assets.serving.log.prediction_store import StoreDown
    from mlops_assets.text import text_digest

    store = existing_log(settings)
    if store is None:
        return ""
    try:
        rows = store.feedback_on_texts()
    except StoreDown as down:
        return f"not read: {down}"
    finally:
        store.close()
    if not rows:
        return ""
    files, table = files_below(settings.data / "validated"), LabelTable(settings.data / FOLDER)
    taken = settings.instance_folder / "feedback_taken"

    def seen() -> str:
        """A digest: texts of callers are kept nowhere else."""
        return sha256(repr((rows, content_key(files), content_key(table.files()))).encode()).hexdigest()

    added = 0
    if not taken.is_file() or taken.read_text(encoding="utf-8") != seen():
        known = set(map(text_digest, read_usable(files)["review_text"].dropna().unique()))
        added = take_feedback(rows, table, known, ANONYMOUS)
        replace_file(taken, seen())
    return f"{added} new labels from feedback to the service"


def commit_version(
    settings: Settings, source: ReviewSource, repository: VersionRepository, run_id: str, spread: Spread = here
) -> tuple[DataVersion, "Counts"]:
    """The version, and its labelled reviews in numbers."""
    from mlops_assets.reviews.labels.table import FOLDER, LabelTable
    from mlops_assets.reviews.stored.counts import count
    from mlops_assets.reviews.stored.months import are_copies, files_below
    from mlops_assets.reviews.stored.snapshot import take_snapshot
    from mlops_assets.reviews.stored.split import Split
    from mlops_assets.reviews.stored.store import ReviewStore

    refuse_missing_upstream("versioned_dataset", settings, repository, source.name)
    evidence = Evidence(settings, source, repository)
    refuse_broken(evidence, source.incomplete(ReviewStore(settings.data / "raw")))
    scratch = settings.instance_folder / "snapshot" / "raw"
    raw = take_snapshot(settings.data / "raw", source.name, evidence.apps, scratch)
    references = reference_files(settings, source.name)
    repository.prepare()
    optional = {
        LABELS: LabelTable(settings.data / FOLDER).files(),
        REFERENCE_RAW: references.raw,
        REFERENCE_VALIDATED: references.validated,
    }
    repository.stage_data(raw, evidence.now, optional)
    staged = files_below(repository.data_folder / "validated")
    are_copies(evidence.now, staged)
    labelling = _labelling(settings, repository, generated=source.name == SAMPLE_SOURCE)
    counts = _as_trained(count(staged, labelling, spread), settings, repository)
    summary: dict[str, Any] = {
        "source": source.name,
        "rows": counts.rows,
        "months": counts.months,
        "labels": counts.labels,
    }
    if references.rows:
        summary["references"] = references.rows
    gate = None if labelling.sides.percents else round(Split.parse(counts.split).percents["gate"])
    return repository.commit_data(run_id, f"Data of {', '.join(counts.rows)}", summary, gate_percent=gate), counts


def usable_reviews(settings: Settings, repository: VersionRepository) -> "pd.DataFrame":
    """The reviews of the version in the pipeline's clone, with their sides, and their labels (null without one)."""
    return chosen_reviews(outline_of_version(settings, repository), repository)


def labelled_reviews(settings: Settings, repository: VersionRepository) -> "pd.DataFrame":
    """The labelled reviews of the version in the pipeline's clone, with their sides."""
    outlined = outline_of_version(settings, repository)
    return chosen_reviews(outlined[outlined["label"].notna()], repository)


def outline_of_version(settings: Settings, repository: VersionRepository) -> "pd.DataFrame":
    """A short row for each review of the version in the pipeline's clone: `reviews/stored/usable.py:outline`."""
    from mlops_assets.reviews.stored.usable import outline

    return outline(version_files(repository), _labelling(settings, repository), current_split(settings, repository))


def chosen_reviews(outlined: "pd.DataFrame", repository: VersionRepository) -> "pd.DataFrame":
    """The reviews of some rows of `outline_of_version`, with their labels and sides. No other reviews are kept."""
    from mlops_assets.reviews.stored.usable import read_chosen

    return read_chosen(outlined, version_files(repository))


def version_files(repository: VersionRepository, *, references: bool = False) -> dict[str, Path]:
    """The files of usable reviews (or of reference apps') of the version in the pipeline's clone, by relative name."""
    from mlops_assets.reviews.stored.months import files_below
    from mlops_assets.reviews.stored.reference import reference_folder

    data = repository.data_folder
    return files_below((reference_folder(data) if references else data) / "validated")


def reference_reviews(settings: Settings, repository: VersionRepository) -> "pd.DataFrame":
    """The reviews of reference apps that models learn from: those of the version that have a label and are on the train
    side. No row if there are none.

    Equal texts share their side, so no text is here that is on another side of the apps' own reviews.
    """
    return _references(settings, repository, current_split(settings, repository))


def _references(settings: Settings, repository: VersionRepository, split: "Split") -> "pd.DataFrame":
    from mlops_assets.reviews.stored.usable import train_side

    return train_side(version_files(repository, references=True), _labelling(settings, repository), split)


def reference_rows(repository: VersionRepository) -> dict[str, int]:
    """How many reviews the version in the pipeline's clone holds of each reference app."""
    from mlops_assets.reviews.stored.columns import row_count

    counts = Counter[str]()
    for name, path in version_files(repository, references=True).items():
        counts[name.split("/")[0]] += row_count(path)
    return dict(counts)


def labelled_counts(settings: Settings, repository: VersionRepository) -> "Counts":
    """The labelled reviews of the version in the pipeline's clone, in numbers."""
    return _as_trained(_own_counts(settings, repository), settings, repository)


def _own_counts(settings: Settings, repository: VersionRepository) -> "Counts":
    from mlops_assets.reviews.stored.counts import count

    return count(version_files(repository), _labelling(settings, repository))


def _as_trained(counts: "Counts", settings: Settings, repository: VersionRepository) -> "Counts":
    """The counts, with digests of all that training reads: of texts without a label too, if a teacher teaches them."""
    from mlops_assets.params.models import BertRecipe
    from mlops_assets.reviews.stored.counts import with_unlabelled

    if settings.section(BertRecipe).teacher:
        counts = with_unlabelled(counts)
    return _beside_references(counts, settings, repository)


def _beside_references(counts: "Counts", settings: Settings, repository: VersionRepository) -> "Counts":
    """Their digests are kept: a run asks several times, and the references seldom change."""
    from mlops_assets.params.reviews import ReferenceRules
    from mlops_assets.reviews.stored.counts import beside_references
    from mlops_assets.reviews.stored.split import Split

    files = version_files(repository, references=True)
    if not files:
        return counts
    own_weight = settings.section(ReferenceRules).own_weight
    made_of = [_labelling(settings, repository).key(files), counts.training_data, counts.split, own_weight]
    kept = settings.instance_folder / "references.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if known.pop("made_of", None) == made_of:
        return replace(counts, **known)
    beside = beside_references(counts, _references(settings, repository, Split.parse(counts.split)), own_weight)
    digests = {"training_data": beside.training_data, "references": beside.references}
    replace_file(kept, json.dumps({"made_of": made_of, **digests}))
    return beside


def current_dataset_version(repository: VersionRepository) -> str:
    """The name of the data that the pipeline's branch holds."""
    version = repository.dataset_version()
    if version is None:
        raise PermanentFailure("no data version exists yet: materialize versioned_dataset first")
    return version


def labels_of_people(repository: VersionRepository) -> dict[str, str]:
    """Digest of the text -> label, as people agree in the version in the pipeline's clone."""
    from mlops_assets.reviews.labels.agreed import agreed
    from mlops_assets.reviews.labels.table import FOLDER, LabelTable

    return agreed(LabelTable(repository.data_folder / FOLDER).given())


def current_split(settings: Settings, repository: VersionRepository) -> "Split":
    """How texts are dealt to the sides in the version in the pipeline's clone."""
    from mlops_assets.reviews.stored.split import Split

    return Split.parse(_own_counts(settings, repository).split)


def split_of_model(settings: Settings, folder: Path) -> "Split":
    """How texts were dealt to the sides when the model in this folder was trained.

    Models of older versions do not record it: that was as params.yaml says, else with 5 % on the gate side.
    """
    from mlops_assets.params.reviews import Sides
    from mlops_assets.reviews.stored.split import LEAST_GATE, Split

    recorded = artifact.read(folder, verify=False).trained_with.split
    return Split.parse(recorded) if recorded else Split.of(settings.section(Sides), 0, LEAST_GATE)


def _labelling(settings: Settings, repository: VersionRepository, *, generated: bool | None = None) -> "Labelling":
    """The rules for labels and sides; `generated` says whether the reviews are, by default as those of the tip."""
    from mlops_assets.params.reviews import Sides
    from mlops_assets.reviews.stored.counts import Labelling

    return Labelling(
        settings.label_rule,
        settings.section(Sides),
        settings.instance_folder / "sides",
        labels_of_people(repository),
        repository.smallest_gate(generated=generated),
    )
