"""docs/parameters.md and params.schema.json; `python -m mlops_assets.params.reference` writes them from the models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from mlops_assets.params.file import Params
from mlops_assets.params.section import Section, rule_of

SCHEMA_FILE, REFERENCE_FILE = "params.schema.json", "docs/parameters.md"

_INTRODUCTION = """\
# Parameters

Every key of `params.yaml`. It says what the pipeline does and is versioned with git; where the pipeline runs, and its
secrets, are variables of the environment (`.env.example`). A key that is left out has its default.

A wrong value is refused in one line, before a run does anything: `params.yaml: classic.trees must be a whole number
from 1 to 2000, got 0`. Editors with a YAML language server show these descriptions and mark wrong values while you
type, from `params.schema.json`.

This page and the schema are written by `python -m mlops_assets.params.reference`: change the descriptions in
`mlops_assets/params/`, not here.
"""


def parameters_page() -> str:
    """docs/parameters.md: a table for each section."""
    return _INTRODUCTION + "".join(_tables("", Params))


def parameters_schema() -> str:
    """params.schema.json, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
    return json.dumps(_without_titles(schema), indent=2) + "\n"


def _tables(name: str, section: type[Section]) -> Iterator[str]:
    plain = {key: field for key, field in section.model_fields.items() if _section_of(field) is None}
    if plain:
        yield f"\n## {f'`{name}`' if name else 'Top level'}\n\n{_one_line(section.__doc__)}\n\n"
        yield "| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |\n"
        for key, field in plain.items():
            rule = rule_of(field.annotation, field.metadata)
            yield f"| `{key}` | {rule} | {_default(field)} | {_one_line(field.description)} |\n"
    for key, field in section.model_fields.items():
        if inner := _section_of(field):
            yield from _tables(f"{name}.{key}" if name else key, inner)


def _section_of(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    value = field.get_default()
    plain = list(value) if isinstance(value, tuple) else value
    line = yaml.safe_dump(plain, default_flow_style=True, width=10**9).removesuffix("...\n").strip()
    return "none" if value is None else f"`{line}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _without_titles(node: Any) -> Any:
    """The schema without the titles that repeat each key's name, and with descriptions in one line."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _one_line(value) if key == "description" and isinstance(value, str) else _without_titles(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


if __name__ == "__main__":
    for name, text in ((REFERENCE_FILE, parameters_page()), (SCHEMA_FILE, parameters_schema())):
        (Path(__file__).parents[2] / name).write_text(text, encoding="utf-8")
