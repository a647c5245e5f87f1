"""Bring the results of runs from disk to the overview page of the service and to the database of the dashboards.

Each pass reads the summaries, the deployment log and the drift history again, and the reviews of months whose files
changed, so that a later pass writes whatever an earlier one could not.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from mlops_assets.deploy.docker.shown import show_there
from mlops_assets.deploy.history import DeploymentLog
from mlops_assets.failures import Failure
from mlops_assets.files import replace_file
from mlops_assets.params.operations import OperationRules
from mlops_assets.reporting import dashboard_rows as rows
from mlops_assets.reporting.dashboard_database import DashboardDatabase, DashboardRows, MonthOfRows
from mlops_assets.reporting.run_summary import RunSummary, read_summary, summary_paths
from mlops_assets.reviews.stored.kept import read_record
from mlops_assets.serving.options import prediction_log_address
from mlops_assets.serving.overview_file import FORMAT, OVERVIEW, SHOWN, publish
from mlops_assets.settings import Settings
from mlops_assets.steps.topics.shown import ShownTopics
from mlops_assets.training.champion import read_decision

if TYPE_CHECKING:
    from mlops_assets.reviews.drift.drift import DriftPoint
    from mlops_assets.reviews.stored.shown_months import ShownMonths

_LOCK_WAIT_S = 120


@dataclass(frozen=True)
class Refreshed:
    """What a pass wrote: the number of runs new to the database, and the trouble if it refused them."""

    runs: int = 0
    trouble: str = ""


class Dashboards:
    """The overview page and, if POSTGRES_HOST is set, the database. Both follow the files."""

    def __init__(self, settings: Settings, database: DashboardDatabase | None) -> None:
        self._settings, self._database = settings, database
        self._trouble_file = settings.instance_folder / "facts.json"

    @classmethod
    def of(cls, settings: Settings) -> "Dashboards":
        """The dashboards of a clone."""
        environ = {name: value.get_secret_value() for name, value in settings.server.items()}
        return cls(
            settings, DashboardDatabase(prediction_log_address(environ)) if environ.get("POSTGRES_HOST") else None
        )

    @property
    def has_database(self) -> bool:
        """Whether POSTGRES_HOST names a database to write to."""
        return self._database is not None

    def prepare(self) -> int | None:
        """Bring the database's schema to this code's version and return that version. None without a database."""
        return self._database.prepare() if self._database else None

    def refresh(self) -> Refreshed:
        """One pass. If the database refuses, nothing is raised: `trouble()` tells so until a pass succeeds.

        Raises `EngineDown` if the host of DEPLOY_HOST is away: the next pass brings its page up to date.
        """
        self._settings.instance_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._settings.instance_folder / "facts.lock").acquire(timeout=_LOCK_WAIT_S):
            found, refreshed = _OnDisk(self._settings), Refreshed()
            if self._database:
                refreshed = _write(self._database, found)
                self._remember(refreshed)
            self._publish(found, refreshed)
            show_there(self._settings)
        return refreshed

    def trouble(self) -> str:
        """Why the last pass could not write everything. Empty if it did, or without a database."""
        if not self._database or not self._trouble_file.is_file():
            return ""
        return str(json.loads(self._trouble_file.read_text(encoding="utf-8"))["trouble"])

    def _remember(self, refreshed: Refreshed) -> None:
        content = {"trouble": refreshed.trouble, "at": self._settings.now().isoformat()}
        replace_file(self._trouble_file, json.dumps(content))

    def _publish(self, found: "_OnDisk", refreshed: Refreshed) -> None:
        """Write what the service's page shows, unless it shows that already."""
        path = self._settings.service_folder / SHOWN / OVERVIEW
        old = read_record(path)
        if old.get("format") != FORMAT:
            old = {}
        same = old.get("data_digest") == found.months.digest
        new = {
            "format": FORMAT,
            "data_digest": found.months.digest,
            "pipeline": rows.overview_of_pipeline(
                found.summaries,
                interval_s=self._settings.section(OperationRules).interval_hours * 3600,
                drift_sustained=self._drift_sustained(found),
                facts_trouble=bool(refreshed.trouble),
            ),
            "models": rows.overview_of_models(found.summaries, rows.served_rows(found.deployments), found.ticks)
            | {"comparison": found.comparison(old["models"].get("comparison") if same else None)},
            "topics": found.topics.overview(old.get("topics")),
            "reviews": old["reviews"] if same else found.overview_of_reviews(),
        }
        if new != old:
            publish(self._settings.service_folder, OVERVIEW, json.dumps(new, ensure_ascii=False))

    def _drift_sustained(self, found: "_OnDisk") -> bool:
        from mlops_assets.params.reviews import DriftOptions
        from mlops_assets.reviews.drift.drift import sustained

        ticks = self._settings.section(DriftOptions).sustained_ticks
        return sustained(found.history, int(ticks)).sustained


class _OnDisk:
    """What one pass reads, each file once. The caller holds the lock, so that no older state overwrites a newer one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def summaries(self) -> list[RunSummary]:
        """The summary of every run on disk, the oldest first."""
        found = map(read_summary, summary_paths(self._settings.instance_folder / "summaries"))
        return sorted(found, key=lambda summary: (summary.ended or "", summary.run_id))

    @cached_property
    def deployments(self) -> list[Mapping[str, Any]]:
        path = self._settings.service_folder / "deployments.sqlite"
        return [vars(entry) for entry in DeploymentLog(path).entries(100_000)] if path.is_file() else []

    @cached_property
    def history(self) -> "list[DriftPoint]":
        from mlops_assets.reviews.drift.history import read_history

        return read_history(self._settings.instance_folder)

    @property
    def ticks(self) -> list[dict[str, Any]]:
        return [vars(point) for point in self.history]

    def comparison(self, shown: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """How the live model's answers differ from those before, with the texts that are still stored.

        `shown` is what the page shows of the same reviews: texts are not searched twice.
        """
        from mlops_assets.reviews.stored.volumes import texts_of

        decision = read_decision(self._settings.models)
        if decision is None or not (found := decision.comparison):
            return None
        about = {
            "model_version": decision.model_version,
            "against": decision.against,
            **{name: found[name] for name in ("n", "said", "changes")},
        }
        if shown and about.items() <= shown.items():
            return shown
        texts = texts_of(self._settings.data, {row["text"] for row in found["examples"]})
        examples = [{**row, "text": texts[row["text"]]} for row in found["examples"] if row["text"] in texts]
        return {**about, "examples": examples}

    @cached_property
    def months(self) -> "ShownMonths":
        from mlops_assets.reviews.stored.shown_months import ShownMonths

        return ShownMonths(self._settings.data, self._settings.instance_folder / "shown_months.json")

    @cached_property
    def topics(self) -> ShownTopics:
        return ShownTopics(self._settings, self.months.digest)

    def overview_of_reviews(self) -> dict[str, Any]:
        summaries = self.months.summaries()
        return rows.overview_of_reviews(summaries, self.months.newest_complaints(summaries))

    def month(self, name: str) -> MonthOfRows:
        """What the database holds of a month."""
        found = self.months.rows(name)
        answered = Counter(review["model_version"] for review in found.reviews if review["model_version"])
        app_id, month = name.split("/")
        return MonthOfRows(
            [found.volume] if found.volume else [],
            found.reasons,
            found.reviews,
            [
                {"app_id": app_id, "month": f"{month}-01", "model_version": model, "reviews": count}
                for model, count in answered.items()
            ],
        )


def _write(database: DashboardDatabase, found: _OnDisk) -> Refreshed:
    try:
        return Refreshed(runs=database.write(lambda: _rows(found)))
    except Failure as failure:
        return Refreshed(trouble=str(failure))


def _rows(found: _OnDisk) -> DashboardRows:
    return DashboardRows(
        runs=[rows.run_row(summary) for summary in found.summaries],
        stages=[row for summary in found.summaries for row in rows.stage_rows(summary)],
        scores=[row for summary in found.summaries for row in rows.score_rows(summary)],
        deployments=found.deployments,
        drift_ticks=[rows.tick_row(tick) for tick in found.ticks],
        drift=[row for tick in found.ticks for row in rows.drift_rows(tick)],
        data_digest=found.months.digest,
        months=found.months.stamps,
        month=found.month,
        reviews=found.months.reviews,
        topics=found.topics.rows(),
    )
