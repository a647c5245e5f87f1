"""Results of costly checks, kept while everything that they were judged on is the same."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

_TEXTS = {"md": dg.MetadataValue.md, "text": dg.MetadataValue.text}


def key_of(files: Mapping[str, Path], *rest: object) -> str:
    """A digest of the files (name, size, time of writing, inode) and of whatever else decides the results."""
    seen = []
    for name, path in sorted(files.items()):
        about = path.stat()
        seen.append((name, about.st_size, about.st_mtime_ns, about.st_ino))
    return hashlib.sha256(repr((seen, rest)).encode()).hexdigest()


def remembered(
    path: Path, key: str, judge: Callable[[], Iterable[dg.AssetCheckResult]]
) -> tuple[list[dg.AssetCheckResult], bool]:
    """The results under `key` as they were judged last, or judged now; whether they were remembered."""
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return [_read(row) for row in stored["results"]], True
    results = list(judge())
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".partial")
    scratch.write_text(json.dumps({"key": key, "results": [_row(one) for one in results]}), encoding="utf-8")
    scratch.replace(path)
    return results, False


def _row(result: dg.AssetCheckResult) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in (result.metadata or {}).items():
        if isinstance(value, dg.MarkdownMetadataValue):
            values[name] = ["md", value.md_str]
        elif isinstance(value, dg.MetadataValue):
            values[name] = ["plain", value.value]
        else:
            values[name] = ["plain", value]
    return {
        "asset": (result.asset_key or dg.AssetKey([])).path,
        "name": result.check_name,
        "passed": result.passed,
        "severity": result.severity.value,
        "description": result.description,
        "metadata": values,
    }


def _read(row: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(row["asset"]),
        check_name=row["name"],
        passed=row["passed"],
        severity=dg.AssetCheckSeverity(row["severity"]),
        description=row["description"],
        metadata={
            name: _TEXTS[kind](value) if kind in _TEXTS else value for name, (kind, value) in row["metadata"].items()
        },
    )
