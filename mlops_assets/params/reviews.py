"""The sections about reviews: `play_store`, `validation`, `drift` and `sides`."""

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlops_assets.failures import BadSetting
from mlops_assets.params.section import ByName, Number, Percent, Rule, Section, Whole


class CollectOptions(Section):
    """How reviews are collected from Google Play, with `source: play_store`."""

    section: ClassVar[str] = "play_store"

    language: Annotated[str, Rule("a language code such as id")] = Field(
        default="id", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$"
    )
    """The language of the reviews. Google Play keeps one list of reviews for each language."""
    country: Annotated[str, Rule('a country code such as "ID"')] = Field(default="ID", pattern="^[A-Za-z]{2}$")
    """The country that requests name. It filters nothing: the language does. Quote it: a bare NO means false."""
    page_size: int = Field(default=199, ge=1, le=4500)
    """Reviews to ask for in one request. The store sends at most 199, whatever it is asked."""
    requests_per_second: float = Field(default=5.0, ge=0.001, le=1000)
    """The most requests per second, of all apps and processes of an installation together. Lower it if the store
    refuses requests."""
    apps_at_once: int = Field(default=4, ge=1, le=32)
    """Apps that are collected at the same time."""
    overlap_days: float = Field(default=14.0, ge=0, le=3650)
    """Each collection reads the newest reviews again, this many days back but at most one page, to find edits, replies
    and deletions."""
    retries: int = Field(default=6, ge=0, le=100)
    """How often a failed request is repeated before the collection of the app stops and keeps what it has."""
    backoff_s: float = Field(default=1.0, ge=0, le=600)
    """Seconds to wait before the first repeat. The wait doubles with each repeat."""
    backoff_most_s: float = Field(default=60.0, ge=0, le=3600)
    """The longest wait between two repeats, in seconds."""
    give_up_after_s: float = Field(default=300.0, ge=0, le=86400)
    """Seconds after which a request is not repeated any more, even if `retries` would allow it."""
    connect_timeout_s: float = Field(default=10.0, ge=0.01, le=600)
    """Seconds to wait for a connection to the store."""
    read_timeout_s: float = Field(default=30.0, ge=0.01, le=600)
    """Seconds to wait for an answer of the store."""
    deletions_percent: float = Field(default=5.0, ge=0, le=100)
    """If more than this share of a month's stored reviews has vanished from the store, the deletions wait for a run
    with `accept_deletions`: the store may have sent an incomplete list."""
    accept_deletions: bool = False
    """Accept such deletions in every run. Better: once, in the Launchpad, after a look at the app."""
    flush_reviews: int = Field(default=10_000, ge=1, le=1_000_000)
    """Reviews that are collected before they are written into their months. Lower it to use less memory."""
    user_agent: Annotated[str, Rule("printable ASCII")] = Field(
        default="mlops-assets review collector", pattern="^[ -~]+$"
    )
    """How the collector names itself to the store."""


LEAST_POSITIVE, MOST_POSITIVE = 0.30, 0.90


def _in_order(bounds: tuple[Number, Number]) -> tuple[float, float]:
    least, most = bounds
    if not 0 <= least < most <= 1:
        raise ValueError(bounds)
    return float(least), float(most)


def _day(value: object) -> object:
    if isinstance(value, datetime):
        raise ValueError(value)  # noqa: TRY004  pydantic collects only these
    return date.fromisoformat(value) if isinstance(value, str) else value


Bounds = Annotated[
    tuple[Number, Number],
    Field(strict=False),
    AfterValidator(_in_order),
    Rule(
        "the least and the most share of positive labels, from 0 to 1 and the smaller one first, such as [0.05, 0.99]"
    ),
]
Day = Annotated[date, BeforeValidator(_day), Rule("a day such as 2026-01-31")]


Language = Annotated[
    str,
    Field(pattern=r"^([a-z]{2,3}|script:[A-Z]+)$"),
    Rule("a language code such as id, in quotes if it is no, or a script such as script:THAI"),
]


class ValidationOptions(Section):
    """Limits of the checks of reviews; see [validation.md](validation.md). Percentages are of reviews."""

    section: ClassVar[str] = "validation"

    most_quarantined_percent: Percent = 5
    """More reviews than this in quarantine stop the run: the source's format has probably changed."""
    most_repeated_percent: Percent = 60
    """A warning if more reviews than this repeat the text of another review."""
    most_template_percent: Percent = 10
    """A warning if more reviews than this follow one template, as bought reviews do."""
    most_foreign_percent: Percent = 10
    """A warning if more reviews than this are neither in the language of their app nor in English."""
    language: Annotated[dict[str, Language], ByName, Rule("a mapping of apps, such as {com.example.app: es}")] = Field(
        default={}
    )
    """For each app, the language of its reviews. Without an entry it is the one that most of its texts are in."""
    most_mismatched_percent: Percent = 30
    """A warning if the stars contradict the text in more reviews than this."""
    sample: Whole = Field(default=2000, ge=100)
    """Reviews that the slow checks look at. The same reviews always give the same sample."""
    positive_share: Annotated[
        dict[str, Bounds], ByName, Rule("a mapping of apps, such as {com.example.app: [0.05, 0.99]}")
    ] = Field(default={})
    """For each app, the least and the most share of positive labels, if 0.30 and 0.90 are wrong for it. A failed check
    prints the line to copy."""
    positive_share_since: Annotated[
        dict[str, Day], ByName, Rule("a mapping of apps, such as {com.example.app: 2026-01-31}")
    ] = Field(default={})
    """For each app, the day (UTC) since which its share of positive labels has changed for good. Older reviews are not
    compared with newer ones."""

    def require_apps(self, known: Collection[str], today: date) -> None:
        """Raise if a parameter names an app that does not exist, or a day in the future."""
        for name, apps in (
            ("language", self.language),
            ("positive_share", self.positive_share),
            ("positive_share_since", self.positive_share_since),
        ):
            for app in apps:
                if app not in known:
                    raise BadSetting(
                        f"params.yaml: validation.{name} names {app}, but the apps here are "
                        f"{', '.join(sorted(known))}: correct the name, or add the app under apps"
                    )
        for app, day in self.positive_share_since.items():
            if day > today + timedelta(days=1):
                raise BadSetting(
                    f"params.yaml: validation.positive_share_since: the day of {app} must not be after today, {today}, "
                    f"got {day}: write the day from which on its reviews differ"
                )

    def bounds_of(self, app: str) -> tuple[float, float]:
        """The least and the most share of positive labels of an app."""
        return self.positive_share.get(app, (LEAST_POSITIVE, MOST_POSITIVE))

    def line_with(self, name: str, added: Mapping[str, object]) -> str:
        """The section as one line of params.yaml, with these apps added to the parameter `name`.

        It ends in a comment: whoever copies the rest of the message with it, or a full stop, still has correct YAML.
        """
        changed: dict[str, Any] = self.model_dump(exclude_defaults=True)
        changed[name] = {**changed.get(name, {}), **added}
        if bounds := changed.get("positive_share"):
            changed["positive_share"] = {app: list(pair) for app, pair in bounds.items()}
        ordered = {key: changed[key] for key in type(self).model_fields if key in changed}
        line = yaml.safe_dump(ordered, default_flow_style=True, sort_keys=False, width=10**9)
        return f"validation: {line.strip()}  # see docs/validation.md"


class DriftOptions(Section):
    """When new reviews count as different from those that the live model was trained on; see [drift.md](drift.md).

    A feature has drifted if its change is beyond chance and also reaches its floor, the smallest change that matters.
    """

    section: ClassVar[str] = "drift"

    alpha: float = Field(default=0.05, gt=0, le=0.2)
    """The share of false alarms if nothing drifted, over all features together. Lower it for fewer alarms."""
    recent_reviews: Whole = Field(default=500, ge=1)
    """The newest reviews that are compared. More of them show smaller changes, but later."""
    least_reviews: Whole = Field(default=50, ge=1)
    """With fewer new reviews than this nothing is judged."""
    sustained_ticks: Whole = Field(default=3, ge=1)
    """Runs in a row that must find drift in the same feature before a retrain starts."""
    floor_mix: float = Field(default=0.05, ge=0, lt=1)
    """Floor of ratings, labels, lengths and languages: the share of reviews that changed their category."""
    floor_vocabulary: float = Field(default=0.02, ge=0, lt=1)
    """Floor of the vocabulary: the rise of the share of unknown words."""
    floor_auc: float = Field(default=0.55, ge=0, lt=1)
    """Floor of the content: the AUC of a classifier that tells new reviews from old ones. 0.5 is a coin toss."""


Share = Annotated[float | None, Field(gt=0, lt=100), Rule("a number above 0 and below 100")]


class Sides(Section):
    """Leave this section out, and the pipeline chooses: of distinct texts, 7.5 % each are validation and test. The gate
    side has 30 % up to 500 labelled texts and falls to 5 % at 20,000; the rest is train. A text may move from gate to
    train, never back.

    Or fix the percentages, all four, 100 together. A change then deals all texts anew and retrains.
    """

    section: ClassVar[str] = "sides"

    train: Share = None
    """Texts that the models learn from."""
    validation: Share = None
    """Texts that choose among settings during a training."""
    gate: Share = None
    """Texts that decide whether a new model replaces the live one."""
    test: Share = None
    """Texts that only measure the models."""

    @property
    def percents(self) -> dict[str, float]:
        """The fixed percentages by side; empty if the pipeline chooses."""
        return {side: percent for side, percent in self.model_dump().items() if percent is not None}

    @model_validator(mode="after")
    def _make_the_whole(self) -> Self:
        percents = self.percents
        if not percents:
            return self
        if missing := [side for side in type(self).model_fields if side not in percents]:
            raise ValueError(f"sides.{missing[0]} is missing, it must be a number above 0 and below 100")
        total = sum(percents.values())
        if abs(total - 100) > 1e-9:
            raise ValueError(f"sides must add up to 100 percent, got {total:g}")
        return self


class ReferenceRules(Section):
    """The reviews of `reference_apps`. See [files.md](files.md#reference-apps)."""

    section: ClassVar[str] = "reference"

    reviews_per_app: Whole = Field(default=10_000, ge=1, le=1_000_000)
    """The newest usable reviews of each reference app that are collected and versioned; older ones do not count."""
    own_weight: Whole = Field(default=3, ge=1, le=100)
    """How many times an own review counts in training; a reference app's counts once. Cross-validation on the train
    side chooses another weight, or none of the references, if that is better beyond noise."""
