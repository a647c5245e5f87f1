"""Packages the champion: its release and, if the deploy target is docker, the release's image."""

from collections.abc import Callable
from dataclasses import dataclass

from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.release import Release, build_release, image_tags
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.repository import VersionRepository


@dataclass(frozen=True)
class ReleasePackage:
    """A release ready to go live; `image` is None if the target needs only its folder."""

    release: Release
    image: Packaged | None


def package(
    settings: Settings,
    service: Service,
    repository: VersionRepository,
    git_history: GitHistory,
    report: Callable[[str], None],
    *,
    run_id: str,
) -> ReleasePackage:
    """The champion's release, and its image pushed, proven and tagged."""
    refuse_missing_upstream("serving_image", settings, repository)
    release = champion_release(settings)
    tags = image_tags(release.model_version, *git_history.head())
    return ReleasePackage(release, service.package(release, tags, report, made_by=run_id))


def champion_release(settings: Settings) -> Release:
    """The champion's release: built, or the existing one if nothing differs."""
    return build_release(settings.models / "champion", settings.releases, lock=settings.serving_lock)
