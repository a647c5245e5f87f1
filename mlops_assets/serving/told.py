"""The file that the pipeline writes for the overview page, as the server reads it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
"""Raised when a reader of before would misread it: after a rollback an older server reads a newer pipeline's file."""


def read_told(path: Path | None) -> Mapping[str, Any] | None:
    """What the pipeline wrote; None where there is nothing yet, or nothing that this version understands."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path else None
    except (OSError, ValueError):
        return None  # The page says so, and the metrics leave it out.
    return told if isinstance(told, dict) and told.get("format") == FORMAT else None
