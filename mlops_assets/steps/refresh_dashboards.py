"""What runs left on disk, brought to the overview page of the service and to the database of the dashboards.

Everything is read anew from the summaries, the deployment log, the drift history and the reviews, so that whatever a
pass could not write is written by a later one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from mlops_assets.deploy.history import DeploymentLog
from mlops_assets.failures import Failure
from mlops_assets.params.operations import OperationRules
from mlops_assets.reporting import dashboard_rows as rows
from mlops_assets.reporting.dashboard_database import DashboardDatabase, DashboardRows
from mlops_assets.reporting.run_summary import RunSummary, read_summary, summary_paths
from mlops_assets.serving.options import prediction_log_place
from mlops_assets.serving.overview_file import FORMAT, OVERVIEW, SHOWN, publish
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.reviews.drift.drift import DriftPoint

_LOCK_WAIT_S = 120


@dataclass(frozen=True)
class Kept:
    """What a pass did: runs that the database had not, and what it did not take; empty where all is well."""

    runs: int = 0
    trouble: str = ""


class FactKeeper:
    """Keeps the overview page and, where POSTGRES_HOST is set, the database as the files are."""

    def __init__(self, settings: Settings, store: DashboardDatabase | None) -> None:
        self._settings, self._store = settings, store
        self._standing = settings.instance_folder / "facts.json"

    @classmethod
    def of(cls, settings: Settings) -> "FactKeeper":
        """The keeper of a clone."""
        environ = {name: value.get_secret_value() for name, value in settings.server.items()}
        return cls(settings, DashboardDatabase(prediction_log_place(environ)) if environ.get("POSTGRES_HOST") else None)

    @property
    def database(self) -> bool:
        """Whether there is one to write to."""
        return self._store is not None

    def prepare(self) -> int | None:
        """Bring the database's schema to this code's version; that version, none without a database."""
        return self._store.prepare() if self._store else None

    def keep(self) -> Kept:
        """One pass. What the database refuses is no exception here: it stands in `trouble()` until a pass succeeds."""
        self._settings.instance_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._settings.instance_folder / "facts.lock").acquire(timeout=_LOCK_WAIT_S):
            found, kept = _OnDisk(self._settings), Kept()
            if self._store:
                kept = _written(self._store, found)
                self._stand(kept)
            self._show(found, kept)
        return kept

    def trouble(self) -> str:
        """What the last pass could not write and why; empty where it wrote everything or there is no database."""
        if not self._store or not self._standing.is_file():
            return ""
        return str(json.loads(self._standing.read_text(encoding="utf-8"))["trouble"])

    def _stand(self, kept: Kept) -> None:
        scratch = self._standing.with_suffix(".partial")
        told = {"trouble": kept.trouble, "at": self._settings.now().isoformat()}
        scratch.write_text(json.dumps(told), encoding="utf-8")
        scratch.replace(self._standing)

    def _show(self, found: "_OnDisk", kept: Kept) -> None:
        """Write what the service's page shows, unless it is there already."""
        path = self._settings.service_folder / SHOWN / OVERVIEW
        old: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # none yet, or torn: it is made anew
            old = json.loads(path.read_text(encoding="utf-8"))
        if old.get("format") != FORMAT:
            old = {}
        same = old.get("data_digest") == found.data_digest
        new = {
            "format": FORMAT,
            "data_digest": found.data_digest,
            "pipeline": rows.overview_of_pipeline(
                found.summaries,
                interval_s=OperationRules.from_params(self._settings.sections["operations"]).interval_hours * 3600,
                drift_sustained=self._drift_sustained(found),
                facts_trouble=bool(kept.trouble),
            ),
            "models": rows.overview_of_models(found.summaries, rows.served_rows(found.deployments), found.ticks),
            "reviews": old["reviews"] if same else rows.overview_of_reviews(*found.review_rows),
        }
        if new != old:
            publish(self._settings.service_folder, OVERVIEW, json.dumps(new, ensure_ascii=False))

    def _drift_sustained(self, found: "_OnDisk") -> bool:
        from mlops_assets.params.drift import DriftOptions
        from mlops_assets.reviews.drift.drift import sustained

        ticks = DriftOptions.from_params(self._settings.sections["drift"]).sustained_ticks
        return sustained(found.history, int(ticks)).sustained


class _OnDisk:
    """What one pass reads, each thing once; the caller holds the lock, so nothing older comes after it."""

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

    @cached_property
    def data_digest(self) -> str:
        from mlops_assets.reviews.stored.volumes import fingerprint

        return hashlib.sha256(fingerprint(self._settings.data).encode()).hexdigest()[:16]

    @cached_property
    def review_rows(self) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Volumes, quarantine reasons and reviews: every stored file, so only where the digest is new."""
        from mlops_assets.reviews.stored.volumes import month_volumes, reviews_with_predictions

        volumes, reasons = month_volumes(self._settings.data)
        return volumes, reasons, reviews_with_predictions(self._settings.data)


def _written(store: DashboardDatabase, found: _OnDisk) -> Kept:
    """What the database took of it."""
    try:
        return Kept(runs=store.write(lambda: _facts(found)))
    except Failure as failure:
        return Kept(trouble=str(failure))


def _facts(found: _OnDisk) -> DashboardRows:
    return DashboardRows(
        runs=[rows.run_row(one) for one in found.summaries],
        stages=[row for one in found.summaries for row in rows.stage_rows(one)],
        scores=[row for one in found.summaries for row in rows.score_rows(one)],
        deployments=found.deployments,
        drift_ticks=[rows.tick_row(tick) for tick in found.ticks],
        drift=[row for tick in found.ticks for row in rows.drift_rows(tick)],
        data_digest=found.data_digest,
        review_rows=lambda: found.review_rows,
    )
