"""The sections about running the pipeline, from `triggers` and `retrain` to `operations`, `mirrors` and `ray`."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from mlops_assets.params.section import ByName, Rule, Section


class OperationRules(Section):
    """When messages go out, and when a run of the pipeline is overdue."""

    section: ClassVar[str] = "operations"

    digest_hour: int = Field(default=7, ge=0, le=23)
    """The hour (UTC) from which on runs with nothing new are reported, once a day."""
    interval_hours: float = Field(default=6.0, ge=0.01)
    """A run of the pipeline is expected this often, in hours. `make status` fails if it is overdue."""
    slack_hours: float = Field(default=2.0, ge=0)
    """Hours that a run may be late."""

    @property
    def longest_gap(self) -> timedelta:
        """How long ago the last run may have ended before the next is overdue."""
        return timedelta(hours=self.interval_hours + self.slack_hours)


class MirrorRules(Section):
    """How the mirrors of MONGO_URL and MLFLOW_TRACKING_URI catch up (docs/mirrors.md)."""

    section: ClassVar[str] = "mirrors"

    batch: int = Field(default=500, ge=1, le=10_000)
    """Reviews that are read, compared and sent to MongoDB in one request."""
    timeout_s: float = Field(default=20.0, ge=0.1)
    """Seconds that a request to a mirror may take. A `timeoutMS` in MONGO_URL and MLflow's own variables go before."""


class PredictionRules(Section):
    """How the live model answers the stored reviews."""

    section: ClassVar[str] = "predictions"

    most_minutes: float = Field(default=10.0, gt=0, le=1440)
    """Minutes of a run in which the model is asked. New and edited reviews come first, then the newest months; the next
    runs go on with the rest, which keeps the earlier model's answers until then."""


class RetrainRules(Section):
    """How much new data is enough to train the models again, and how often. A changed recipe trains at once."""

    section: ClassVar[str] = "retrain"

    new_reviews: int = Field(default=1, ge=1, le=10_000_000)
    """Labelled reviews that must have been added (or removed) since a model's training."""
    at_most_every_hours: float = Field(default=0.0, ge=0, le=8760)
    """Hours between two trainings of a model because of new data. 0: as often as runs find new data."""


def _rising_to_all(steps: tuple[int, ...]) -> tuple[int, ...]:
    if list(steps) != sorted(set(steps)) or steps[-1] != 100:
        raise ValueError(steps)
    return steps


class Watching(Section):
    """How a new release is judged: by what clients ask it if they ask enough, else by test requests."""

    section: ClassVar[str] = "deploy"

    steps: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(strict=False, min_length=1),
        AfterValidator(_rising_to_all),
        Rule("a list of rising whole numbers from 1 that ends with 100"),
    ] = (100,)
    """The percentages of the requests that a new release gets, one after the other; `[5, 25, 100]` is a canary. Other
    lists than `[100]` need the target docker."""
    step_s: float = Field(default=60.0, gt=0)
    """Seconds that each step before the last takes. With fewer than 100 requests it takes up to three times as long,
    then the golden sentences decide."""

    ready_timeout_s: float = Field(default=60.0, ge=0)
    """Seconds that a new release may take until it answers. Raise it for a large model or a slow machine."""
    watch_s: float = Field(default=3.0, ge=0)
    """Seconds that a new release is watched after the switch. If it fails in that time, the old one comes back."""
    slower_at_most: float = Field(default=5.0, ge=0)
    """A new release may take this many times the old one's time to answer."""
    always_fast_s: float = Field(default=0.25, ge=0)
    """Answers within this many seconds are never too slow."""

    approval: Literal["none", "required"] = "none"
    """`required`: a new release is built and tried, and goes live only when a person approves it."""
    approval_hours: float = Field(default=72.0, ge=0.01, le=8760)
    """Hours that a release waits for approval. After that the next run asks anew."""

    @property
    def is_gradual(self) -> bool:
        """Whether a new release has the requests step by step."""
        return len(self.steps) > 1

    def at_once(self) -> Self:
        """The same without steps."""
        return self.model_copy(update={"steps": (100,)})

    def limit_s(self, usual_s: float) -> float:
        """Over this it is too slow, where the old one takes `usual_s`."""
        return max(self.always_fast_s, self.slower_at_most * usual_s)


def _existing(zone: str) -> str:
    try:
        return ZoneInfo(zone).key
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(zone) from error


class Triggers(Section):
    """When runs start by themselves, beside new commits and drift."""

    section: ClassVar[str] = "triggers"

    time_zone: Annotated[str, AfterValidator(_existing), Rule("a zone such as Asia/Jakarta")] = "UTC"
    """The time zone of the schedule `every_six_hours`."""
    retrain_after_days: int = Field(default=90, ge=0)
    """A live model older than this many days is trained again, even if nothing changed. 0: never."""
    cooldown_days: int = Field(default=7, ge=0)
    """Days after a retrain for drift or age in which neither starts another one."""


class RetentionRules(Section):
    """How long the nightly job `prune` keeps what was replaced. Days count from the moment when a later version
    replaced a version; what is current is never removed.
    """

    section: ClassVar[str] = "versions.retention"

    data_days: int = Field(default=30, ge=0)
    """Days that a replaced version of the data is kept."""
    models_days: int = Field(default=90, ge=0)
    """Days that a replaced version of a model is kept."""
    runs_days: int = Field(default=30, ge=0)
    """Days that Dagster's history is kept: events, logs and summaries. The newest 20 runs always stay."""
    predictions_days: int = Field(default=90, ge=1)
    """Days that the service's log of predictions and their feedback is kept, counted from the request."""
    predecessors: int = Field(default=2, ge=0)
    """Models deployed before the live one that stay ready for a rollback, with the data that they were trained on."""
    unknown_days: int = Field(default=1, ge=0)
    """Days that objects which no version names are kept: they may belong to a commit that is still under way."""


class Versions(Section):
    """What is kept of earlier versions."""

    section: ClassVar[str] = "versions"

    retention: Annotated[RetentionRules, ByName] = Field(default_factory=RetentionRules)
    """How long replaced versions stay: the keys of `versions.retention`."""


class RayOptions(Section):
    """What the training of BERT asks of a node of the Ray cluster at `RAY_ADDRESS` (docs/scaling.md). Nothing else
    reads it.
    """

    section: ClassVar[str] = "ray"

    training_cpus: int = Field(default=1, ge=1, le=1024)
    """Cores of one node. The training waits until some node has them; with a GPU few suffice."""
    training_gpus: int = Field(default=0, ge=0, le=1)
    """1: a GPU of the same node. `bert.device: auto` then trains on it."""
