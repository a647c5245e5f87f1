"""The facts about each month's usable reviews, kept on disk: only files that changed are read for the claims."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops_assets.code_version import code_version
from mlops_assets.files import replace_file, stamp
from mlops_assets.params.choices import LabelRule
from mlops_assets.reviews.quality.claims import ReviewFacts
from mlops_assets.reviews.stored.usable import read_usable


def facts_of(files: Mapping[str, Path], rule: LabelRule, kept: Path) -> ReviewFacts:
    """The facts of all these files together. `kept` is the record with the facts of each file, by its stamp."""
    if not files:
        return ReviewFacts.of(read_usable(files), rule)
    made_by = f"{rule} {code_version(__name__)}"
    record: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # Absent or damaged: every file is read.
        record = json.loads(kept.read_text(encoding="utf-8"))
    known = record["files"] if record.get("made_by") == made_by else {}
    found: dict[str, Any] = {}
    for name, path in sorted(files.items()):
        now = list(stamp(path))
        same = name in known and known[name][0] == now
        found[name] = known[name] if same else [now, asdict(ReviewFacts.of(read_usable({name: path}), rule))]
    if found != known:
        replace_file(kept, json.dumps({"made_by": made_by, "files": found}))
    return ReviewFacts.together(_as_facts(facts) for _, facts in found.values())


def _as_facts(kept: Mapping[str, Any]) -> ReviewFacts:
    labels = {app: (count, hits) for app, (count, hits) in kept["labels"].items()}
    return ReviewFacts(kept["reviews"], tuple(kept["columns"]), kept["nulls"], tuple(kept["with_nulls"]), labels)
