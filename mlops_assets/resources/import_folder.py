"""Files that a person put into data/imports, taken into the stored reviews with their provenance."""

import subprocess
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mlops_assets.failures import TransientFailure
from mlops_assets.settings import Settings, child_environment

if TYPE_CHECKING:
    from mlops_assets.reviews.imports import Imports


def take_imports(settings: Settings, report: Callable[[str], None]) -> Mapping[str, list[str]]:
    """Upsert what lies in data/imports; the months that changed, by app. A refused file is reported by name."""
    from mlops_assets.reviews.store import ReviewStore

    found = read_folder(settings, report)
    store = ReviewStore(settings.data / "raw")
    changed: dict[str, list[str]] = {}
    for app_id, rows in found.rows_by_app.items():
        done = store.upsert(app_id, rows)
        if done.months:
            report(f"imported {done.new} new reviews of {app_id}")
            changed[app_id] = list(done.months)
    for reason in found.refused.values():
        report(f"import refused: {reason}")
    return changed


def read_folder(settings: Settings, report: Callable[[str], None] = lambda _: None) -> "Imports":
    """The folder's files as reviews, after what only a DVC pointer names was pulled."""
    from mlops_assets.reviews.file_hints import FileHints
    from mlops_assets.reviews.imports import read_imports, unpulled

    folder = settings.data / "imports"
    if absent := unpulled(folder):
        report(f"pulling {', '.join(path.name for path in absent)}")
        done = subprocess.run(
            [str(settings.dvc_program), "pull", "--quiet", *(str(path) for path in absent)],
            cwd=settings.root,
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise TransientFailure(
                f"dvc pull of {absent[0].name} failed: {done.stderr.strip().splitlines()[-1:]}: push the file's data, "
                f"or remove {absent[0]}"
            )
    key = settings.author_key.get_secret_value() if settings.author_key else None
    return read_imports(
        folder,
        known_apps=settings.apps,
        app_id=settings.only_app,
        author_key=key,
        hints=FileHints.of(settings),
    )
