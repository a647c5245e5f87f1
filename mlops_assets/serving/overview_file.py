"""The overview that the pipeline writes for the server's page and metrics, and the time of its last success."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_assets.files import replace_file

FORMAT = 1
"""Counts up when an older server would misread the file: after a rollback it reads a newer pipeline's overview."""

SHOWN, LAST_SUCCESS = "shown", "last_success"
"""Folder below the service's state that its server may read, and the file in it that says when a run last ended well,
in seconds since 1970. A folder of its own, so that a container that has it mounted sees each new file.
"""

OVERVIEW = "overview.json"
"""The file in that folder with the runs, models and reviews that the overview page shows."""


def publish(service_folder: Path, name: str, text: str) -> None:
    """Replace a file that the server reads. Its folder is open to all: in a container the server is another user."""
    path = service_folder / SHOWN / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    replace_file(path, text, mode=0o644)


def read_overview(path: Path | None) -> Mapping[str, Any] | None:
    """The overview, or None if there is none yet or none of a format that this version understands."""
    try:
        overview = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None
    return overview if isinstance(overview, dict) and overview.get("format") == FORMAT else None
