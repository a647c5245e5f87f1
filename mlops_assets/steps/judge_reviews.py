"""Judge the reviews of the next version, once for each content. The checks show the claims; broken ones stop it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.code_version import code_version
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import sha256
from mlops_assets.reviews.sources.review_source import AppStatus, ReviewSource
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import validation_options
from mlops_assets.steps.restore import restored_commit
from mlops_assets.versioning.dvc.objects import object_at
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import known_apps

if TYPE_CHECKING:
    from mlops_assets.params.reviews import ValidationOptions
    from mlops_assets.reviews.quality.claims import Claim

Claims = dict[str, "Claim"]

BLOCKING: Mapping[str, str] = {
    "reviews_are_not_empty": (
        "Without a single usable review nothing can be trained, and an empty version would replace a good one."
    ),
    "required_columns_exist": "Without review_text and rating there is neither a text to learn from nor a label.",
    "required_values_are_present": (
        "A usable review has a text and stars; a hole here means that validation let a broken row through."
    ),
    "positive_share_is_normal": (
        "A version with hardly any positive or hardly any negative review is a torn piece of the feed or a change of "
        "the labels, and a model trained on it answers one class."
    ),
    "positive_share_is_steady": (
        "Reviews that are suddenly far better or worse than the app's last 90 days are often a torn feed or turned "
        "stars. A person looks before a model learns from them."
    ),
    "quarantine_is_small": "Many unusable reviews at once are a change at the source, not bad luck with single rows.",
    "no_review_is_lost": (
        "A version shrinks only by recorded deletions, quarantine and erasures. Anything else is a loss of data."
    ),
}
"""The claims that stop a version, each with the reason why failing it is worth stopping for."""

WARNING: Mapping[str, str] = {
    "texts_are_varied": "Repeated texts and spam from templates teach the model one sentence many times.",
    "languages_are_known": "The models learn the language of an app and the English in it; others are noise to them.",
    "stars_match_texts": "Stars are the labels. Where they contradict their texts, the scores say little.",
}
"""The claims that only warn. They are about the newest reviews of the version."""

_NEWEST = 50_000
"""At least so many reviews, in whole months, the claims that warn read: their cost does not grow with the version."""


class Evidence:
    """The reviews of the next version and of the last. Files are looked up and read when they are needed."""

    def __init__(self, settings: Settings, source: ReviewSource, repository: VersionRepository) -> None:
        self.settings, self.source, self.repository = settings, source.name, repository
        self.apps = known_apps(settings)

    @cached_property
    def options(self) -> "ValidationOptions":
        return validation_options(self.settings)

    @cached_property
    def now(self) -> dict[str, Path]:
        """The files of usable reviews of the run's source, by relative name."""
        from mlops_assets.reviews.stored.snapshot import take_snapshot

        scratch = self.settings.instance_folder / "snapshot" / "validated"
        files = take_snapshot(self.settings.data / "validated", self.source, self.apps, scratch)
        return {name: path for name, path in files.items() if name.endswith(".parquet")}

    @cached_property
    def usable(self) -> int:
        """How many usable reviews there are, from the files' footers."""
        from mlops_assets.reviews.stored.columns import row_count

        return sum(map(row_count, self.now.values()))

    @cached_property
    def _base(self) -> Any:
        return self.repository.base()

    @property
    def anew(self) -> str | None:
        """Why the last version is not the newest on the branch, or None."""
        return self._base.anew

    @cached_property
    def before(self) -> dict[str, Path]:
        """The files of the last version, by relative name."""
        last = restored_commit(self.repository) or self._base.commit
        files = self.repository.stored_files("data/validated", last) if last else {}
        return {name: path for name, path in files.items() if name.endswith(".parquet")}

    @cached_property
    def same(self) -> frozenset[str]:
        """The files that are equal in the last version. Files that were staged as they are now are not read."""
        from mlops_assets.files import equal_bytes

        staged = self.repository.staged("data/validated", self.now)
        return frozenset(
            name
            for name, path in self.now.items()
            if (before := self.before.get(name)) is not None
            and (staged.get(name) == object_at(before) or equal_bytes(path, before))
        )

    @property
    def changed(self) -> dict[str, Path]:
        """The files that are not equal in the last version, or not in it."""
        return {name: path for name, path in self.now.items() if name not in self.same}

    @property
    def raw(self) -> list[Path]:
        """The stored files of the last version's apps."""
        apps = sorted({name.split("/")[0] for name in self.before})
        return [path for app in apps for path in (self.settings.data / "raw" / app).glob("*.parquet")]

    @property
    def quarantine(self) -> list[Path]:
        folder = self.settings.data / "quarantine"
        return [path for app in self.apps for path in sorted((folder / app).glob("*.parquet"))]


def usable_claims(evidence: Evidence) -> Claims:
    """The claims that block and need the usable reviews alone."""

    def judge() -> Claims:
        from mlops_assets.reviews.quality.claims import judge as judge_facts
        from mlops_assets.reviews.quality.kept_facts import facts_of

        kept = evidence.settings.instance_folder / "facts_of_months.json"
        return judge_facts(facts_of(evidence.now, evidence.settings.label_rule, kept), evidence.options)

    return _kept(evidence, "usable", [evidence.settings.label_rule, evidence.options], judge)


def blocking_claims(evidence: Evidence) -> Claims:
    """Every claim of `BLOCKING`."""
    from mlops_assets.reviews.stored.months import content_key
    from mlops_assets.reviews.stored.privacy import ERASED

    raw = evidence.settings.data / "raw"
    usable = usable_claims(evidence)
    quarantine_key = [_key(evidence.quarantine), evidence.options]
    quarantine = _kept(evidence, "quarantine", quarantine_key, lambda: {"quarantine_is_small": _quarantine(evidence)})
    stored = _key([*evidence.raw, *evidence.quarantine, *((raw / ERASED,) if (raw / ERASED).is_file() else ())])
    changes_key = [
        content_key(evidence.before),
        stored,
        evidence.apps,
        evidence.anew,
        evidence.settings.label_rule,
        evidence.options,
    ]

    def judge() -> Claims:
        normal = usable["positive_share_is_normal"].passed
        return {"positive_share_is_steady": _steady(evidence, normal=normal), "no_review_is_lost": _lost(evidence)}

    found = {**usable, **quarantine, **_kept(evidence, "changes", changes_key, judge)}
    return {name: found[name] for name in BLOCKING}


def warning_claims(evidence: Evidence) -> Claims:
    """Every claim of `WARNING`."""

    def judge() -> Claims:
        from mlops_assets.reviews.quality import quality
        from mlops_assets.reviews.stored.usable import read_newest

        reviews, options = read_newest(evidence.now, _NEWEST), evidence.options
        return {
            "texts_are_varied": quality.texts_are_varied(reviews, options),
            "languages_are_known": quality.languages_are_known(reviews, options),
            "stars_match_texts": quality.stars_match_texts(reviews, options),
        }

    return _kept(evidence, "quality", [evidence.options], judge)


def refuse_broken(evidence: Evidence, incomplete: Sequence[AppStatus]) -> None:
    """Raise if a claim that stops a version is broken, those about `raw_reviews` too: not every run collects."""
    broken = {name: claim.reason for name, claim in blocking_claims(evidence).items() if not claim.passed}
    if incomplete:
        reasons = "; ".join(f"{app.app_id}: {app.reason}" for app in incomplete)
        broken["collection_is_complete"] = f"{reasons}: run the job pipeline, which goes on there"
    if not (schema := stored_files_claim(evidence.settings)).passed:
        broken["stored_reviews_keep_their_schema"] = schema.reason
    if broken:
        raise PermanentFailure("; ".join(f"{name}: {reason}" for name, reason in broken.items()))


def stored_files_claim(settings: Settings) -> "Claim":
    """Whether every stored file of the known apps has the columns and types of a stored review."""
    from mlops_assets.reviews.quality.quality import files_keep_their_schema

    raw = settings.data / "raw"
    paths = [path for app in known_apps(settings) for path in (raw / app).rglob("*.parquet")]
    name = "stored_reviews_keep_their_schema"
    return _kept_by(settings, "schema", _key(paths), lambda: {name: files_keep_their_schema(paths)})[name]


def _quarantine(evidence: Evidence) -> "Claim":
    import pandas as pd

    from mlops_assets.reviews.quality.quality import quarantine_is_small
    from mlops_assets.reviews.stored import columns
    from mlops_assets.reviews.stored.snapshot import PROVENANCE

    rows = [columns.read_rows(path, ["reasons", "source"]).to_pandas() for path in evidence.quarantine]
    reasons = [part.loc[part["source"].isin(PROVENANCE[evidence.source]), "reasons"] for part in rows]
    column = pd.concat(reasons, ignore_index=True) if reasons else pd.Series([], dtype="str")
    return quarantine_is_small(evidence.usable, column, evidence.options)


def _steady(evidence: Evidence, *, normal: bool) -> "Claim":
    from mlops_assets.reviews.quality.claims import Claim
    from mlops_assets.reviews.quality.sudden_change import positive_share_is_steady, stored_apps
    from mlops_assets.reviews.stored.columns import empty
    from mlops_assets.reviews.stored.usable import read_usable

    if not normal:
        return Claim(passed=True, reason="not judged: positive_share_is_normal is broken")
    changed = evidence.changed
    apps = {name.split("/")[0] for name in changed}
    # What arrived since the last version is newer than all of it, so it is in no file that is equal there.
    arrived = read_usable(changed) if changed else empty()
    before = {name: path for name, path in evidence.before.items() if name.split("/")[0] in apps}
    last = stored_apps(before, evidence.source) if len(arrived) else {}
    return positive_share_is_steady(arrived, last, evidence.settings.label_rule, evidence.options)


def _lost(evidence: Evidence) -> "Claim":
    from mlops_assets.reviews.quality.quality import no_review_is_lost
    from mlops_assets.reviews.stored.privacy import Erased, review_digest
    from mlops_assets.reviews.stored.snapshot import PROVENANCE

    erased = Erased.load(evidence.settings.data / "raw").reviews
    claim = no_review_is_lost(
        evidence.before,
        evidence.now,
        evidence.raw,
        same=evidence.same,
        quarantine=evidence.quarantine,
        apps=evidence.apps,
        sources=PROVENANCE[evidence.source],
        is_erased=lambda review_id: review_digest(review_id) in erased,
    )
    return replace(claim, reason=f"{evidence.anew}; {claim.reason}") if evidence.anew else claim


def _kept(evidence: Evidence, group: str, judged_by: object, judge: Callable[[], Claims]) -> Claims:
    """The claims of a group from the last time, if content, rules and code are the same; else judged now."""
    from mlops_assets.reviews.stored.months import content_key

    return _kept_by(evidence.settings, group, (content_key(evidence.now), evidence.source, judged_by), judge)


def _kept_by(settings: Settings, group: str, judged_by: object, judge: Callable[[], Claims]) -> Claims:
    from mlops_assets.reviews.quality.claims import Claim

    kept = Kept(settings.instance_folder / "claims.json", _code())
    found = kept.of(group, repr(judged_by), lambda: {name: asdict(claim) for name, claim in judge().items()})
    kept.save(others=lambda _: True)
    return {name: Claim(**fields) for name, fields in found.items()}


def _key(paths: Collection[Path]) -> str:
    from mlops_assets.reviews.stored.months import content_key

    return content_key({str(path): path for path in paths})


@cache
def _code() -> str:
    """What the claims are made of, this module included."""
    rules = ("claims", "quality", "sudden_change")
    return code_version(*(f"mlops_assets.reviews.quality.{name}" for name in rules)) + sha256(Path(__file__))[:12]
