"""Remove what nothing needs any more: old versions, logged predictions, and releases with their images."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Versions
from mlops_assets.serving.log.prediction_store import PredictionStore, open_existing_store
from mlops_assets.serving.options import prediction_log_address
from mlops_assets.settings import Settings
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.retention import Pruned, prune_versions


@dataclass(frozen=True)
class PruneResult:
    """What was removed, or with `dry_run` would be: the versions' objects, names of releases, logged predictions, and
    apps that are no references any more.
    """

    versions: Pruned
    releases: tuple[str, ...]
    predictions: int
    references: tuple[str, ...] = ()


def prune(
    settings: Settings,
    repository: VersionRepository,
    service: Service,
    report: Callable[[str], None],
    *,
    dry_run: bool = False,
) -> PruneResult:
    """Report what will go, then remove it. The live model, its predecessors, the anchor and what a tag names stay."""
    from mlops_assets.deploy.history import KEPT
    from mlops_assets.deploy.release import prune_releases, release_version
    from mlops_assets.steps.deciding.lineage import anchor_models
    from mlops_assets.training.champion import champion_folder

    live = service.live()
    deployed = [*([live] if live else []), *service.log.last_live(KEPT + 1)]
    versions = prune_versions(
        repository,
        now=settings.now(),
        rules=settings.section(Versions).retention,
        deployed=list(dict.fromkeys(entry.model_version for entry in deployed)),
        report=report,
        anchors=lambda: anchor_models(settings, repository),
        dry_run=dry_run,
    )
    keep = {entry.release_version for entry in deployed}
    if champion := champion_folder(settings.models):
        # Built with skip_deploy it was never live, and the next tick would build it again.
        keep.add(release_version(champion, lock=settings.serving_lock))
    folders = settings.releases.iterdir() if settings.releases.is_dir() else []
    releases = sorted(folder.name for folder in folders if folder.is_dir() and folder.name not in keep)
    for name in releases:
        report(f"remove release {name}")
    if not dry_run:
        prune_releases(settings.releases, frozenset(keep))
    predictions = _prune_predictions(settings, report, dry_run=dry_run)
    service.prune(frozenset(keep), report, dry_run=dry_run)
    references = _prune_references(settings, report, dry_run=dry_run)
    return PruneResult(versions, tuple(releases), predictions, references)


def existing_log(settings: Settings) -> PredictionStore | None:
    """The service's log of predictions, as the database's owner; None if it logs none, or not to this machine."""
    environ = {name: value.get_secret_value() for name, value in settings.server.items()}
    return open_existing_store(prediction_log_address(environ))


def _prune_references(settings: Settings, report: Callable[[str], None], *, dry_run: bool) -> tuple[str, ...]:
    """Remove the collected reviews of apps that left `reference_apps`; earlier versions hold theirs as long as any."""
    from mlops_assets.reviews.sources.references import unlisted_apps
    from mlops_assets.reviews.stored.reference import reference_folder

    gone = tuple(unlisted_apps(settings))
    for app in gone:
        report(f"remove the reviews of {app}, which is no reference app any more")
        for part in ("quarantine", "validated", "raw") if not dry_run else ():
            shutil.rmtree(reference_folder(settings.data) / part / app, ignore_errors=True)
    return gone


def _prune_predictions(settings: Settings, report: Callable[[str], None], *, dry_run: bool) -> int:
    store = existing_log(settings)
    if store is None:
        return 0
    days = settings.section(Versions).retention.predictions_days
    before = settings.now() - timedelta(days=days)
    count = store.remove_before(before.isoformat(), dry_run=dry_run)
    store.close()
    report(f"remove {count} logged predictions that are older than {days} days, with their feedback")
    return count
