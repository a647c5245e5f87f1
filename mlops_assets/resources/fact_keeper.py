"""What runs left on disk, brought to the overview page of the service and to the database of the dashboards.

Everything is read anew from the summaries, the deployment log, the drift history and the reviews, so that whatever a
pass could not write is written by a later one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from mlops_assets.deploy.history import DeploymentLog
from mlops_assets.failures import Failure
from mlops_assets.operations import facts, overview
from mlops_assets.operations.rules import OperationRules
from mlops_assets.resources.fact_store import Facts, FactStore
from mlops_assets.resources.service import OVERVIEW, SHOWN
from mlops_assets.serving.options import prediction_log_place
from mlops_assets.serving.told import FORMAT
from mlops_assets.settings import Settings

_LOCK_WAIT_S = 120


@dataclass(frozen=True)
class Kept:
    """What a pass did: runs that the database had not, and what it did not take; empty where all is well."""

    runs: int = 0
    trouble: str = ""


class FactKeeper:
    """Keeps the overview page and, where POSTGRES_HOST is set, the database as the files are."""

    def __init__(self, settings: Settings, store: FactStore | None) -> None:
        self._settings, self._store = settings, store
        self._standing = settings.instance_folder / "facts.json"

    @classmethod
    def of(cls, settings: Settings) -> "FactKeeper":
        """The keeper of a clone."""
        environ = {name: value.get_secret_value() for name, value in settings.server.items()}
        return cls(settings, FactStore(prediction_log_place(environ)) if environ.get("POSTGRES_HOST") else None)

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
            kept = self._write() if self._store else Kept()
            if self._store:
                _replace(self._standing, json.dumps({"trouble": kept.trouble, "at": self._settings.now().isoformat()}))
            self._show(kept)
        return kept

    def trouble(self) -> str:
        """What the last pass could not write and why; empty where it wrote everything or there is no database."""
        if not self._store or not self._standing.is_file():
            return ""
        return str(json.loads(self._standing.read_text(encoding="utf-8"))["trouble"])

    def _write(self) -> Kept:
        assert self._store is not None  # noqa: S101  # the caller looked; this tells the type checker
        try:
            return Kept(runs=self._store.write(self._facts))
        except Failure as failure:
            return Kept(trouble=str(failure))

    def _facts(self) -> Facts:
        summaries, ticks = self._summaries(), self._ticks()
        return Facts(
            runs=[facts.run_row(one) for one in summaries],
            stages=[row for one in summaries for row in facts.stage_rows(one)],
            scores=[row for one in summaries for row in facts.score_rows(one)],
            deployments=self._deployments(),
            drift_ticks=[facts.tick_row(tick) for tick in ticks],
            drift=[row for tick in ticks for row in facts.drift_rows(tick)],
            data_digest=self._data_digest(),
            review_rows=self._review_rows,
        )

    def _show(self, kept: Kept) -> None:
        """Write what the service's page shows, unless it is there already."""
        path = self._settings.service_folder / SHOWN / OVERVIEW
        old: dict[str, Any] = {}
        with suppress(OSError, ValueError):  # none yet, or torn: it is made anew
            old = json.loads(path.read_text(encoding="utf-8"))
        if old.get("format") != FORMAT:
            old = {}
        digest = self._data_digest()
        reviews = old["reviews"] if old.get("data_digest") == digest else overview.of_reviews(*self._review_rows())
        summaries = self._summaries()
        new = {
            "format": FORMAT,
            "data_digest": digest,
            "pipeline": overview.of_pipeline(
                summaries,
                interval_s=OperationRules.from_params(self._settings.sections["operations"]).interval_hours * 3600,
                drift_sustained=self._drift_sustained(),
                facts_trouble=bool(kept.trouble),
            ),
            "models": overview.of_models(summaries, facts.served_rows(self._deployments()), self._ticks()),
            "reviews": reviews,
        }
        if new != old:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o755)
            _replace(path, json.dumps(new, ensure_ascii=False))

    def _summaries(self) -> list[dict[str, Any]]:
        """Of every run that is on disk, the oldest first."""
        folder = self._settings.instance_folder / "summaries"
        paths = (path for path in folder.glob("*.json") if path.stem != "latest")
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return sorted(found, key=lambda one: (one.get("ended") or "", one["run_id"]))

    def _deployments(self) -> list[Mapping[str, Any]]:
        path = self._settings.service_folder / "deployments.sqlite"
        return [vars(entry) for entry in DeploymentLog(path).entries(100_000)] if path.is_file() else []

    def _ticks(self) -> list[dict[str, Any]]:
        from mlops_assets.reviews.drift_history import read_history

        return [vars(point) for point in read_history(self._settings.instance_folder)]

    def _drift_sustained(self) -> bool:
        from mlops_assets.reviews.drift import DriftOptions, sustained
        from mlops_assets.reviews.drift_history import read_history

        ticks = DriftOptions.from_params(self._settings.sections["drift"]).sustained_ticks
        return sustained(read_history(self._settings.instance_folder), int(ticks)).sustained

    def _data_digest(self) -> str:
        from mlops_assets.reviews.volumes import fingerprint

        return hashlib.sha256(fingerprint(self._settings.data).encode()).hexdigest()[:16]

    def _review_rows(self) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        from mlops_assets.reviews.volumes import month_volumes, reviews_with_predictions

        volumes, reasons = month_volumes(self._settings.data)
        return volumes, reasons, reviews_with_predictions(self._settings.data)


def _replace(path: Path, text: str) -> None:
    scratch = path.with_suffix(".partial")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(0o644)  # a container reads the page's content as a user of its own
    scratch.replace(path)
