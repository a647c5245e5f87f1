"""Other values for keys of params.yaml, for a trial: from a file, or as `section.key=value`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlops_assets.failures import BadSetting
from mlops_assets.params.file import SECTION_MODELS, read_yaml

RECIPES = ("classic", "bert", "reference")
"""The sections that decide what a model becomes. The gate and the data stay as they are, so that figures compare."""

_PAIR = re.compile(r"(?:^|[\s,]+)([\w.]+)=")


def with_overrides(params: Path, given: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The recipes of params.yaml with the values that `given` names, and each that differs, as `classic.trees: 200`.

    `given` is a file in the form of params.yaml, whole or in part, or `section.key=value`, of which several are
    parted by spaces or commas. Raises `BadSetting` that names the key.
    """
    written: dict[str, Any] = read_yaml(params.read_text(encoding="utf-8"))
    recipes: dict[str, dict[str, Any]] = {name: dict(written.get(name) or {}) for name in RECIPES}
    changed: list[str] = []
    for section, values in _values(given).items() if given else ():
        if section not in RECIPES:
            if section in written and written[section] == values:
                continue
            raise BadSetting(
                f"PARAMS: {section} cannot be tried: a trial keeps the data and the gate, and takes keys of "
                f"{', '.join(RECIPES)}, such as classic.trees=200"
            )
        if not isinstance(values or {}, dict):
            raise BadSetting(f"PARAMS: {section} must be a mapping, got {values!r}")
        different = {str(key): value for key, value in (values or {}).items() if recipes[section].get(key) != value}
        recipes[section] |= different
        changed += [f"{section}.{key}: {value}" for key, value in different.items()]
    for section, values in recipes.items():
        try:
            SECTION_MODELS[section].from_params(values)
        except BadSetting as wrong:
            raise BadSetting(f"PARAMS: {str(wrong).removeprefix('params.yaml: ')}") from None
    return recipes, changed


def _values(given: str) -> Mapping[str, Any]:
    """Keys and values by section."""
    if Path(given).is_file():
        content = _parsed(Path(given).read_text(encoding="utf-8"), given)
        if not isinstance(content, dict):
            raise BadSetting(f"PARAMS: {given} must hold sections as params.yaml does, got {content!r}")
        return content
    found = list(_PAIR.finditer(given))
    if not found or found[0].start() != 0:
        raise BadSetting(f"PARAMS={given!r} is neither a file that exists nor section.key=value: classic.trees=200")
    values: dict[str, Any] = {}
    for match, end in zip(found, [*(each.start() for each in found[1:]), len(given)], strict=True):
        section, point, key = match[1].partition(".")
        if not point:
            raise BadSetting(f"PARAMS: {section} names no key: write section.key=value, such as classic.trees=200")
        values.setdefault(section, {})[key] = _parsed(given[match.end() : end], match[1])
    return values


def _parsed(text: str, name: str) -> Any:
    try:
        return read_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        raise BadSetting(f"PARAMS: {name} cannot be read: {error}".replace("\n", " ")) from error
