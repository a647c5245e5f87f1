"""Clones of one origin, each with reviews of its own, for tests of what they share."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.run_summary import summary_of
from mlops_assets.definitions import build_definitions
from mlops_assets.outside import build
from mlops_assets.reporting.run_summary import CheckResult, RunSummary
from mlops_assets.reporting.summary_pages import as_markdown
from mlops_assets.reviews.quality.validate import validate_months
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from mlops_assets.steps.restore import settle
from mlops_assets.steps.version import commit_version
from mlops_assets.versioning.git.pipeline_commit import parse_trailers
from mlops_assets.versioning.version_writer import DataVersion
from tests.fakes.service import fake_service
from tests.user_clone import QUICK_DVC, REAL_DVC, git, settings_of, sh

APP, NOW = "com.valar.pintu", "2026-04-15T00:00:00Z"
LATER = datetime(2026, 4, 16, tzinfo=UTC)
DATA = ["raw_reviews", "validated_reviews", "versioned_dataset"]


@dataclass
class Clone:
    """One person's clone of `origin.git`, and the last run's summary."""

    root: Path
    dvc: Path = QUICK_DVC
    summary: RunSummary | None = None
    said: list[str] = field(default_factory=list)

    def settings(self, **environ: str) -> Settings:
        return settings_of(self.root, **{"NOW": NOW, "DVC_PROGRAM": str(self.dvc), **environ})

    def given(self, name: str, remote: Path | None, **environ: str) -> Settings:
        """The settings of a run on a file with ten reviews `<name>-0` …, unless another source is named."""
        given = {"DVC_REMOTE_URL": str(remote)} if remote else {}
        if "SOURCE" not in environ:
            given["REVIEWS"] = str(file_of_reviews(self.root.parent / f"{name}.csv", name))
        return self.settings(**given, **environ)

    def run(self, name: str, *, remote: Path | None = None, **environ: str) -> DataVersion:
        """Collect, validate and version, as the three assets do."""
        settings = self.given(name, remote, **environ)
        things = build(settings)
        source, repository, store = things["review_source"], things["repository"], ReviewStore(settings.data / "raw")
        settle(repository, settings.data, self.said.append, shares=source.name != "sample")
        source.collect(store, {app: ["2026-03"] for app in source.apps()}, self.said.append)
        for app in store.apps():
            validate_months(settings.data, app, store.months(app))
        return commit_version(settings, source, repository, "run")[0]

    def run_assets(self, name: str, *, remote: Path | None = None, **environ: str) -> str:
        """The same as a run of Dagster, with the checks; its Markdown summary."""
        self.summary, _ = run_data_assets(self.given(name, remote, **environ))
        return as_markdown(self.summary)

    def ids(self, part: str = "validated") -> set[str]:
        """The reviews of the version in the private clone."""
        files = sorted((self.root / ".pipeline" / "data" / part).rglob("*.parquet"))
        return {str(one) for path in files for one in pd.read_parquet(path, columns=["review_id"])["review_id"]}

    def check(self, name: str) -> CheckResult:
        assert self.summary is not None
        return next(row for row in self.summary.checks if row.check == name)

    def tip(self) -> str:
        return git(self.root, "rev-parse", "pipeline")

    def trailers(self) -> dict[str, str]:
        return parse_trailers(git(self.root, "log", "-1", "--format=%B", "pipeline"))


def run_data_assets(settings: Settings) -> tuple[RunSummary, set[str]]:
    """The assets up to a data version as a run of Dagster: its summary, and the partitions of raw_reviews."""
    definitions = build_definitions(
        settings, {"service": fake_service(settings.service_folder)}, loggers={"console": silent}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        done = definitions.resolve_job_def("pipeline").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(asset) for asset in DATA],
            tags=range_tags(settings, [APP], "2026-03", "2026-03"),
            run_config={"loggers": {"console": {}}},
            raise_on_error=False,
        )
        summary = summary_of(instance, done.run_id, settings, None)
        partitions = instance.get_materialized_partitions(dg.AssetKey("raw_reviews"))
    assert done.success, as_markdown(summary)
    return summary, {str(key) for key in partitions}


def clone_of_origin(folder: Path, name: str) -> Clone:
    sh(folder, "git", "clone", "-q", "origin.git", name)
    return Clone(folder / name)


def file_of_reviews(path: Path, name: str) -> Path:
    rows = [
        f"{name}-{n},{'mantap' if n % 3 else 'gagal'} {name} {n},{5 if n % 3 else 1},2026-03-1{n}" for n in range(10)
    ]
    path.write_text("\n".join(["review_id,review_text,rating,review_date", *rows]) + "\n", encoding="utf-8")
    return path


def ids_of(*names: str) -> set[str]:
    return {f"{name}-{n}" for name in names for n in range(10)}


def tip_at_origin(folder: Path) -> str:
    return sh(
        folder, "git", "--git-dir=origin.git", "rev-parse", "--verify", "-q", "refs/heads/pipeline", check=False
    ).strip()


@dg.logger(description="says nothing")
def silent(_: Any) -> Any:
    return logging.getLogger("silent")


def pulled(folder: Path, name: str) -> set[str]:
    """What a colleague has after three plain commands."""
    sh(folder, "git", "clone", "-q", "origin.git", name)
    sh(folder / name, "git", "checkout", "-q", "pipeline")
    sh(folder / name, str(REAL_DVC), "pull", "-q")
    files = sorted((folder / name / "data" / "validated").rglob("*.parquet"))
    return {str(one) for path in files for one in pd.read_parquet(path, columns=["review_id"])["review_id"]}
