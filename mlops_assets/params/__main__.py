"""Writes docs/parameters.md and params.schema.json."""

from pathlib import Path

from mlops_assets.params.reference import REFERENCE_FILE, SCHEMA_FILE, parameters_page, parameters_schema

root = Path(__file__).parents[2]
for name, text in ((REFERENCE_FILE, parameters_page()), (SCHEMA_FILE, parameters_schema())):
    (root / name).write_text(text, encoding="utf-8")
