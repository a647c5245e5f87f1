"""What people and editors read about params.yaml is what the models say."""

import json
from collections.abc import Iterator

import pytest
import yaml

from mlops_assets.params import reference
from mlops_assets.params.choices import Choices
from mlops_assets.params.file import SECTIONS, Params
from mlops_assets.params.section import Section
from tests.repository import ROOT

WRITE = "run python -m mlops_assets.params.reference"


def keys_of(section: type[Section], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for key, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from keys_of(kind, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", field.description


def test_the_page_and_the_schema_are_those_of_the_models() -> None:
    assert (ROOT / reference.REFERENCE_FILE).read_text(encoding="utf-8") == reference.parameters_page(), WRITE
    assert (ROOT / reference.SCHEMA_FILE).read_text(encoding="utf-8") == reference.parameters_schema(), WRITE


@pytest.mark.parametrize(("key", "description"), list(keys_of(Params)))
def test_every_key_is_described(key: str, description: str | None) -> None:
    assert description, key


def test_a_section_is_read_with_the_settings_or_when_a_run_starts() -> None:
    assert set(Params.model_fields) == {*Choices.model_fields, *SECTIONS}


def test_the_schema_names_every_key_of_the_projects_own_file_and_the_file_names_the_schema() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={reference.SCHEMA_FILE}\n")
    schema = json.loads(reference.parameters_schema())
    assert set(yaml.safe_load(text)) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
