"""What the claims about a version are judged on, and those that stop one.

Checks show them; `versioned_dataset` holds to them where a person materializes it alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.sources.review_source import AppStatus, ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.parameters import validation_options
from mlops_assets.steps.restore import restored_commit
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import known_apps

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.params.validation import ValidationOptions
    from mlops_assets.reviews.quality.claims import Claim


@dataclass(frozen=True)
class Evidence:
    """The usable reviews of the run's source, and where their files, the quarantine and the last version's are.

    anew: why the last version's files are not those of the newest one
    """

    frame: "pd.DataFrame"
    settings: Settings
    source: str
    options: "ValidationOptions"
    before: Mapping[str, Path]
    now: Mapping[str, Path]
    raw: Sequence[Path]
    quarantine: Sequence[Path]
    anew: str | None = None


def gather(settings: Settings, source: ReviewSource, repository: VersionRepository) -> Evidence:
    """Read what the next version would hold, and what the last one does."""
    from mlops_assets.reviews.stored.dataset import read_source, take_snapshot

    apps, data = known_apps(settings), settings.data
    base = repository.base()
    last = restored_commit(repository) or base.commit
    files = repository.stored_files("data/validated", last) if last else {}
    before = {name: path for name, path in files.items() if name.endswith(".parquet")}
    scratch = settings.instance_folder / "snapshot" / "validated"
    return Evidence(
        frame=read_source(data / "validated", source.name, apps),
        settings=settings,
        source=source.name,
        options=validation_options(settings),
        before=before,
        now=take_snapshot(data / "validated", source.name, apps, scratch).files,
        raw=[
            path
            for app in sorted({name.split("/")[0] for name in before})
            for path in (data / "raw" / app).glob("*.parquet")
        ],
        quarantine=[path for app in apps for path in sorted((data / "quarantine" / app).glob("*.parquet"))],
        anew=base.anew,
    )


def refuse_broken(evidence: Evidence, incomplete: Sequence[AppStatus]) -> None:
    """Raise where a claim that stops a version is broken, those about `raw_reviews` too: not every run collects."""
    broken = {name: claim.reason for name, _, judge in BLOCKING if not (claim := judge(evidence)).passed}
    if incomplete:
        said = "; ".join(f"{one.app_id}: {one.reason}" for one in incomplete)
        broken["collection_is_complete"] = f"{said}: run the job pipeline, which goes on there"
    if not (schema := stored_files_claim(evidence.settings)).passed:
        broken["stored_reviews_keep_their_schema"] = schema.reason
    if broken:
        raise PermanentFailure("; ".join(f"{name}: {reason}" for name, reason in broken.items()))


def stored_files_claim(settings: Settings) -> "Claim":
    """Whether every stored file of the known apps has the columns and types of a stored review."""
    from mlops_assets.reviews.quality.quality import files_keep_their_schema

    raw = settings.data / "raw"
    return files_keep_their_schema([path for app in known_apps(settings) for path in (raw / app).rglob("*.parquet")])


def _claims() -> Any:
    from mlops_assets.reviews.quality import claims

    return claims


def _quarantine(evidence: Evidence) -> "Claim":
    import pandas as pd

    from mlops_assets.reviews.quality.quality import quarantine_is_small
    from mlops_assets.reviews.stored import columns
    from mlops_assets.reviews.stored.dataset import PROVENANCE

    rows = [columns.read_rows(path, ["reasons", "source"]).to_pandas() for path in evidence.quarantine]
    reasons = [part.loc[part["source"].isin(PROVENANCE[evidence.source]), "reasons"] for part in rows]
    column = pd.concat(reasons, ignore_index=True) if reasons else pd.Series([], dtype="str")
    return quarantine_is_small(len(evidence.frame), column, evidence.options)


def _steady(evidence: Evidence) -> "Claim":
    from mlops_assets.reviews.quality.claims import Claim, positive_share_is_normal
    from mlops_assets.reviews.quality.sudden_change import positive_share_is_steady, stored_apps

    rule, options = evidence.settings.label_rule, evidence.options
    if not positive_share_is_normal(evidence.frame, rule, options).passed:
        return Claim(passed=True, reason="not judged: positive_share_is_normal is broken and speaks of it")
    return positive_share_is_steady(evidence.frame, stored_apps(evidence.before, evidence.source), rule, options)


def _lost(evidence: Evidence) -> "Claim":
    from mlops_assets.reviews.quality.quality import no_review_is_lost
    from mlops_assets.reviews.stored.dataset import PROVENANCE
    from mlops_assets.reviews.stored.privacy import Erased, review_digest

    erased = Erased.load(evidence.settings.data / "raw").reviews
    claim = no_review_is_lost(
        evidence.before,
        evidence.now,
        evidence.raw,
        quarantine=evidence.quarantine,
        apps=known_apps(evidence.settings),
        sources=PROVENANCE[evidence.source],
        is_erased=lambda one: review_digest(one) in erased,
    )
    return replace(claim, reason=f"{evidence.anew}; {claim.reason}") if evidence.anew else claim


BLOCKING: list[tuple[str, str, Callable[[Evidence], "Claim"]]] = [
    (
        "reviews_are_not_empty",
        "Without a single usable review nothing can be trained, and an empty version would replace a good one.",
        lambda given: _claims().reviews_are_not_empty(given.frame),
    ),
    (
        "required_columns_exist",
        "Without review_text and rating there is neither a text to learn from nor a label.",
        lambda given: _claims().required_columns_exist(given.frame),
    ),
    (
        "required_values_are_present",
        "A usable review has a text and stars; a hole here means that validation let a broken row through.",
        lambda given: _claims().required_values_are_present(given.frame),
    ),
    (
        "positive_share_is_normal",
        "A version with hardly any positive or hardly any negative review is a torn piece of the feed or a change of "
        "the labels, and a model trained on it answers one class.",
        lambda given: _claims().positive_share_is_normal(given.frame, given.settings.label_rule, given.options),
    ),
    (
        "positive_share_is_steady",
        "Reviews that are suddenly far better or worse than the app's last 90 days are often a torn feed or turned "
        "stars. A person looks before a model learns from them.",
        _steady,
    ),
    (
        "quarantine_is_small",
        "Many unusable reviews at once are a change at the source, not bad luck with single rows.",
        _quarantine,
    ),
    (
        "no_review_is_lost",
        "A version shrinks only by recorded deletions, quarantine and erasures. Anything else is a loss of data.",
        _lost,
    ),
]
