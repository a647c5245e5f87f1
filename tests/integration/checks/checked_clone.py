"""A clone with stored reviews and a version of them, for tests of the checks."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.assets.partitions import range_tags
from mlops_assets.definitions import build_definitions
from mlops_assets.reviews.drift.profile import Profile
from mlops_assets.reviews.files.balance import NO_FILES, Balances
from mlops_assets.reviews.quality.validate import _Files, _Hashes
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from tests.fakes.service import fake_service
from tests.fakes.version_repository import FakeVersionRepository
from tests.user_clone import settings_of

APP, MONTHS = "com.valar.pintu", ("2026-01", "2026-03")

NOW = "2026-04-15T00:00:00Z"

REVIEWS = 1200

RESTS = ["raw_reviews", "validated_reviews", "versioned_dataset"]


@dataclass(frozen=True)
class AppStatus:
    app_id: str
    status: str = "whole"
    reason: str = "read"


@dataclass
class StoredReviews:
    """A source that brings nothing: the reviews lie in the store already."""

    name: str = "file"
    apps_shown: Sequence[AppStatus] = (AppStatus(APP),)

    def apps(self) -> Sequence[str]:
        return (APP,)

    def due_apps(self) -> Sequence[str]:
        return (APP,)

    def months(self) -> tuple[str, str]:
        return MONTHS

    def collect(self, *_: Any) -> list[Any]:
        return []

    def statuses(self, _: ReviewStore) -> Sequence[AppStatus]:
        return self.apps_shown

    def incomplete(self, _: ReviewStore) -> Sequence[AppStatus]:
        return [one for one in self.apps_shown if one.status == "partial"]

    def balances(self) -> Balances:
        return NO_FILES


@dataclass
class CheckedClone:
    """A clone with stored reviews and a version made of them."""

    root: Path
    repository: FakeVersionRepository
    source: StoredReviews = field(default_factory=StoredReviews)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return settings_of(
            self.root, **{"NOW": NOW, "SKIP_DEPLOY": "1", "NOTIFY_URLS": "json://127.0.0.1:9/hook", **self.environment}
        )

    def run(
        self, assets: Sequence[str] | None = RESTS, job: str = "pipeline", tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run these assets (None: all of the job)."""
        with dg.DagsterInstance.ephemeral() as instance:
            return (
                self.definitions()
                .resolve_job_def(job)
                .execute_in_process(
                    instance=instance,
                    asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
                    tags=tags or range_tags(self.settings, [APP], *MONTHS),
                    run_config={"loggers": {"console": {}}},
                    raise_on_error=False,
                )
            )

    def definitions(self) -> dg.Definitions:
        replace = {
            "review_source": self.source,
            "repository": self.repository,
            "service": fake_service(self.settings.service_folder),
        }
        return build_definitions(self.settings, replace, loggers={"console": _silent})

    def change_raw(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Rewrite every stored month as if it had been collected so."""
        for path in sorted((self.root / "data" / "raw" / APP).glob("*.parquet")):
            columns.write_frame(columns.conform(change(columns.read_frame(path))), path)

    def change_validated(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Rewrite every usable month, with a record that says that validation wrote it."""
        data = self.root / "data"
        for path in sorted((data / "validated" / APP).glob("*.parquet")):
            change(pd.read_parquet(path)).to_parquet(path)
            files = _Files.of(data, APP, path.stem, _Hashes(data, APP))
            record = json.loads(files.record.read_text(encoding="utf-8"))
            files.record.write_text(json.dumps({**record, "content": files._content()}), encoding="utf-8")


@dg.logger(description="says nothing")
def _silent(_: Any) -> Any:
    import logging

    return logging.getLogger("silent")


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {one.check_name for one in result.get_asset_check_evaluations() if not one.passed}


def validated(clone: CheckedClone) -> pd.DataFrame:
    paths = sorted((clone.root / "data" / "validated" / APP).glob("*.parquet"))
    return pd.concat([columns.read_frame(path) for path in paths], ignore_index=True)


def train_on(clone: CheckedClone, frame: pd.DataFrame, **about: Any) -> None:
    """What a training on these reviews leaves for the check of drift."""
    models = clone.root / "models"
    path = clone.settings.profile("a" * 12)
    path.parent.mkdir(parents=True)
    Profile.of(frame).save(path)
    record = {"model": "classic", "model_version": "m" * 12, "dataset_version": "a" * 12, **about}
    (models / "champion.json").write_text(json.dumps(record), encoding="utf-8")
