"""The files that the pipeline writes for the server's pages and metrics."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
"""Raised when a reader of before would misread it: after a rollback an older server reads a newer pipeline's file."""


SHOWN, LAST_SUCCESS = "shown", "last_success"
"""Folder below the service's state that its server may read, and the file in it that says when a run last ended well,
in seconds since 1970. A folder of its own, so that a container that has it mounted sees each new file.
"""

OVERVIEW = "overview.json"
"""The file beside it with what the service's overview page shows of runs, models and reviews."""


def show(service_folder: Path, name: str, text: str) -> None:
    """Put a file, whole, where the server reads it: from a container it does so as a user of its own."""
    path = service_folder / SHOWN / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o755)
    scratch = path.with_suffix(".partial")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(0o644)
    scratch.replace(path)


def read_told(path: Path | None) -> Mapping[str, Any] | None:
    """What the pipeline wrote; None where there is nothing yet, or nothing that this version understands."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None  # The page says so, and the metrics leave it out.
    return told if isinstance(told, dict) and told.get("format") == FORMAT else None
