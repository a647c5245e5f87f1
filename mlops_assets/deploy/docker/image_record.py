"""Which image holds which release: proven, pushed, named by digest. It is what a rollback goes by."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from mlops_assets.deploy.service import Packaged


class ImageRecord:
    """A JSON file; who writes it holds the service's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, release_version: str) -> Packaged | None:
        """The release's image."""
        return self.all().get(release_version)

    def all(self) -> dict[str, Packaged]:
        """Every image by its release."""
        if not self._path.is_file():
            return {}
        content = json.loads(self._path.read_text(encoding="utf-8"))
        return {version: Packaged(**{**row, "tags": tuple(row["tags"])}) for version, row in content.items()}

    def set(self, release_version: str, image: Packaged) -> None:
        """The release's image is this one; the tags that it takes are no other image's any more."""
        others = {
            version: replace(one, tags=tuple(tag for tag in one.tags if tag not in image.tags))
            for version, one in self.all().items()
            if version != release_version
        }
        self._write({**others, release_version: image})

    def drop(self, release_version: str) -> None:
        """Forget the release's image."""
        self._write({version: image for version, image in self.all().items() if version != release_version})

    def _write(self, images: dict[str, Packaged]) -> None:
        scratch = self._path.with_suffix(".partial")
        scratch.write_text(json.dumps({name: asdict(image) for name, image in images.items()}, indent=1), "utf-8")
        scratch.replace(self._path)
