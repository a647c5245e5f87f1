"""The summary of a run, as `.dagster/summaries/<run_id>.json` holds it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

Side = Literal["validation", "gate", "test", "newest", "people"]
SIDES: tuple[Side, ...] = ("validation", "gate", "test", "newest", "people")
"""The parts of a data version that models are scored on, in the order in which they are used; `people` are the held-out
texts that people labelled."""

WATCHED_JOBS = ("pipeline", "refresh_models")
"""Jobs whose end shows that the pipeline works; a nightly pruning that succeeds shows nothing of the kind."""


class _Stored(BaseModel):
    """Written with exactly the keys that it was read or made with: summaries of earlier versions lack some."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Stage(_Stored):
    """One stage of the pipeline: how it ended and why, and how many seconds it worked."""

    stage: str
    status: Literal["done", "skipped", "stopped", "failed"]
    reason: str
    seconds: float | None = None


class FailedStep(_Stored):
    """A failed step that is no stage: one of another job, or a check that broke."""

    step: str
    reason: str


NEWS = "news"
"""The name under which a check's metadata has what people are told."""


LIVE_SCORE = "live_score"
"""The name under which a check's metadata has the estimated accuracy on live traffic."""


class News(_Stored):
    """What people are told at once, whatever becomes of the run. Each `id` is told once, however many runs find it."""

    id: str
    title: str
    text: str


class ReviewCounts(_Stored):
    """Reviews that the run collected, put into quarantine, and labelled; None if the stage did not run.

    masked: masks over personal data in their texts and replies
    """

    new: int | None = None
    changed: int | None = None
    quarantined: int | None = None
    masked: int | None = None
    labelled: int | None = None


class Score(_Stored):
    """A model's figures on `n` reviews, with 95 % intervals."""

    n: int = 0
    accuracy: float | None = None
    accuracy_interval: tuple[float | None, float | None] | None = None
    macro_f1: float | None = None
    macro_f1_interval: tuple[float | None, float | None] | None = None


class ModelScore(Score):
    """A model's figures, with its version."""

    model_version: str


class CheckResult(_Stored):
    """What a check found."""

    check: str
    asset: str = ""
    passed: bool
    severity: str
    blocking: bool = False
    reason: str
    news: Sequence[News] = ()
    live_score: ModelScore | None = None
    """The live model's accuracy on traffic, estimated without labels."""

    @property
    def stops_the_run(self) -> bool:
        """Whether it failed as an error, so that nothing below it runs."""
        return not self.passed and self.severity == "ERROR"


class ModelScores(_Stored):
    """A trained model's figures by side, with the data version and the run that they come from."""

    model_version: str
    dataset_version: str
    run_id: str | None = None
    validation: Score | None = None
    gate: Score | None = None
    test: Score | None = None
    newest: Score | None = None
    people: Score | None = None

    def on(self, side: Side) -> Score | None:
        """The figures on one side."""
        return getattr(self, side)


class TrainedOnRecord(_Stored):
    """The apps and sources of the reviews that a model was trained on."""

    apps: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    generated: bool = False


class Champion(_Stored):
    """The last decision between models: what a summary shows of `models/champion.json`. The rest is kept unread."""

    model: str
    model_version: str
    dataset_version: str | None = None
    reason: str
    run_id: str | None = None
    against: str | None = None
    candidates: Mapping[str, str] = {}
    figures: Mapping[str, Any] = {}
    forward: ModelScore | None = None
    comparison: Mapping[str, Any] | None = None
    trained_on: TrainedOnRecord = TrainedOnRecord()

    @model_serializer(mode="wrap")
    def _sorted(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys in the order of `models/champion.json`, at every level."""
        return json.loads(json.dumps(serialize(self), sort_keys=True))


class BuiltRelease(_Stored):
    """What the run built; `image` and `size_mb` are None when the target is a process."""

    release: str
    model_version: str
    image: str | None = None
    size_mb: float | int | None = None


class Deployed(_Stored):
    """What the run put live."""

    model_version: str
    release: str
    url: str


class WaitsForApproval(_Stored):
    """A release that waits for a person; `asked` by this run, decided on `page` if the clone has one."""

    release: str
    until: str
    asked: bool = False
    page: str = ""


class LiveModel(_Stored):
    """The service's answer about itself, and what its model was trained on."""

    model_version: str
    release_version: str = ""
    dataset_version: str = ""
    pid: int = 0
    since: str = ""
    url: str
    target: str = "process"
    moved_from: str = ""
    other_settings: str = ""
    trained_on: TrainedOnRecord = TrainedOnRecord()
    warning: str | None = None


class RunSummary(_Stored):
    """What a run did, stage by stage, and what serves after it.

    Times are ISO 8601 in UTC. `attempt_of` names the run whose alert this one shares, `follows` what a sensor does
    about a failure, `stopped` who stopped the run, `promoted_by` the run that promoted what this failed run trained.
    """

    run_id: str
    job: str
    status: str
    trigger: str
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None
    source: str = ""
    link: str = ""
    page: str = ""
    attempt_of: str | None = None
    follows: str = ""
    stopped: str = ""
    stages: Sequence[Stage] = ()
    failures: Sequence[FailedStep] = ()
    checks: Sequence[CheckResult] = ()
    reviews: ReviewCounts = ReviewCounts()
    dataset_version: str | None = None
    commit: str | None = None
    starts_anew: str | None = None
    code: str | None = None
    code_dirty: str | None = None
    image: BuiltRelease | None = None
    deployed: Deployed | None = None
    waits_for_approval: WaitsForApproval | None = None
    origin: str | None = None
    outputs: Mapping[str, Any] = {}
    models: Mapping[str, ModelScores | None] = {}
    champion: Champion | None = None
    live: LiveModel | None = None
    promoted_by: str | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """From the parsed JSON of a summary, however old."""
        return cls.model_validate(stored)

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"

    @property
    def failed(self) -> bool:
        return self.status == "FAILURE"

    @property
    def trained_models(self) -> dict[str, ModelScores]:
        """The models that have figures, by kind."""
        return {kind: scores for kind, scores in self.models.items() if scores}

    @property
    def live_score(self) -> ModelScore | None:
        """The live model's accuracy on traffic, estimated without labels; None if the run did not estimate it."""
        return next((check.live_score for check in self.checks if check.live_score), None)

    @property
    def cause(self) -> str:
        """Why the run failed: its first failed stage, check or step."""
        causes = [
            *(f"{row.stage}: {row.reason}" for row in self.stages if row.status == "failed"),
            *(f"{row.check}: {row.reason}" for row in self.checks if row.stops_the_run),
            *(f"{row.step}: {row.reason}" for row in self.failures),
        ]
        if causes:
            return causes[0]
        done = [row.stage for row in self.stages if row.status == "done"]
        return f"it ended {f'after {done[-1]}' if done else 'before its first step'}, see the run"

    @property
    def outcome(self) -> str:
        """How the run ended, in words."""
        words = {"SUCCESS": "succeeded", "FAILURE": "failed", "CANCELED": "was cancelled"}
        ended = words.get(self.status, self.status.lower())
        if self.stopped:
            return f"was {self.stopped}"
        if self.promoted_by is not None:
            return f"{ended}, and the model that it did train was judged by run {self.promoted_by[:8]}"
        return ended

    @property
    def warnings(self) -> list[str]:
        """What everybody must know of the live model, and of a champion that is not live."""
        found = [self.live.warning] if self.live and self.live.warning else []
        champion = self.champion
        is_live = bool(champion and self.live and self.live.model_version == champion.model_version)
        if champion and champion.trained_on.generated and not is_live:
            name = f"{champion.model} {champion.model_version}"
            found.insert(0, f"{name} was trained on generated reviews, and is not live")
        return found


def read_summary(path: Path) -> RunSummary:
    """One summary from disk."""
    return RunSummary.from_json(json.loads(path.read_text(encoding="utf-8")))


def summary_paths(folder: Path) -> Iterator[Path]:
    """The files of all runs in a folder of summaries, by run id."""
    return (path for path in sorted(folder.glob("*.json")) if path.stem != "latest")
