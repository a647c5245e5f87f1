"""The whole of params.yaml as a model, and how the file is read."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import Field

from mlops_assets.failures import BadSetting
from mlops_assets.params.choices import Choices
from mlops_assets.params.models import BertRecipe, ClassicRecipe, Evaluation
from mlops_assets.params.operations import (
    MirrorRules,
    OperationRules,
    PredictionRules,
    RayOptions,
    RetrainRules,
    Versions,
    Watching,
)
from mlops_assets.params.reviews import CollectOptions, DriftOptions, ReferenceRules, Sides, ValidationOptions
from mlops_assets.params.section import Section
from mlops_assets.params.topics import TopicRules


class _UniqueNames(yaml.SafeLoader):
    """The safe loader, which refuses a name that a mapping holds twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise yaml.YAMLError(
                        f"{key.value} stands twice, in line {seen[key.value]} and in line {line}: "
                        "keep one and write both contents there"
                    )
                seen[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The content of a YAML text; raises `yaml.YAMLError`, or `ValueError` where a day does not exist."""
    return yaml.load(text, Loader=_UniqueNames)  # noqa: S506  a safe loader


SECTIONS = (
    "sides", "reference", "play_store", "validation", "drift", "classic", "bert", "evaluate", "retrain",
    "predictions", "deploy", "versions", "operations", "mirrors", "ray", "topics",
)  # fmt: skip
"""Sections that are checked when a run starts: a wrong value stops a run, but neither a rollback nor the status."""


class Params(Choices):
    """The parameters of the pipeline: what it does, versioned with git."""

    sides: Sides = Field(default_factory=Sides)
    reference: ReferenceRules = Field(default_factory=ReferenceRules)
    play_store: CollectOptions = Field(default_factory=CollectOptions)
    validation: ValidationOptions = Field(default_factory=ValidationOptions)
    drift: DriftOptions = Field(default_factory=DriftOptions)
    classic: ClassicRecipe = Field(default_factory=ClassicRecipe)
    bert: BertRecipe = Field(default_factory=BertRecipe)
    evaluate: Evaluation = Field(default_factory=Evaluation)
    retrain: RetrainRules = Field(default_factory=RetrainRules)
    predictions: PredictionRules = Field(default_factory=PredictionRules)
    deploy: Watching = Field(default_factory=Watching)
    versions: Versions = Field(default_factory=Versions)
    operations: OperationRules = Field(default_factory=OperationRules)
    mirrors: MirrorRules = Field(default_factory=MirrorRules)
    ray: RayOptions = Field(default_factory=RayOptions)
    topics: TopicRules = Field(default_factory=TopicRules)


SECTION_MODELS = {name: cast("type[Section]", Params.model_fields[name].annotation) for name in SECTIONS}
"""The model of each section that is checked when a run starts."""


def read_params(path: Path) -> tuple[Choices, Mapping[str, Mapping[str, Any]]]:
    """The choices of params.yaml, and its sections as they are written."""
    try:
        params: Any = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadSetting(f"{path} is missing: restore it with git checkout -- params.yaml") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSetting(f"{path} cannot be read: {error}".replace("\n", " ")) from error
    names = {*Choices.model_fields, *SECTIONS}
    known = ", ".join(sorted(names))
    if not isinstance(params, dict):
        raise BadSetting(f"{path} must hold {known}")
    if unknown := sorted(str(name) for name in params.keys() - names):
        raise BadSetting(f"params.yaml: {unknown[0]} is no parameter, known are {known}")
    sections = {name: params.get(name) or {} for name in SECTIONS}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise BadSetting(f"params.yaml: {name} must be a mapping, got {section!r}")
    return Choices.from_params({name: params[name] for name in Choices.model_fields if name in params}), sections
