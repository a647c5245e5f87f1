"""The whole of params.yaml as one model: what its reference and its JSON schema are made from."""

from typing import cast

from pydantic import Field

from mlops_assets.params.bert import BertRecipe
from mlops_assets.params.choices import Choices
from mlops_assets.params.classic import ClassicRecipe
from mlops_assets.params.deploy import Watching
from mlops_assets.params.drift import DriftOptions
from mlops_assets.params.evaluate import Evaluation
from mlops_assets.params.file import SECTIONS
from mlops_assets.params.operations import OperationRules
from mlops_assets.params.play_store import CollectOptions
from mlops_assets.params.section import Section
from mlops_assets.params.sides import Sides
from mlops_assets.params.validation import ValidationOptions
from mlops_assets.params.versions import Versions


class Params(Choices):
    """The parameters of the pipeline: what it does, versioned with git."""

    sides: Sides
    play_store: CollectOptions = Field(default_factory=CollectOptions)
    validation: ValidationOptions = Field(default_factory=ValidationOptions)
    drift: DriftOptions = Field(default_factory=DriftOptions)
    classic: ClassicRecipe = Field(default_factory=ClassicRecipe)
    bert: BertRecipe = Field(default_factory=BertRecipe)
    evaluate: Evaluation = Field(default_factory=Evaluation)
    deploy: Watching = Field(default_factory=Watching)
    versions: Versions = Field(default_factory=Versions)
    operations: OperationRules = Field(default_factory=OperationRules)


SECTION_MODELS = {name: cast("type[Section]", Params.model_fields[name].annotation) for name in SECTIONS}
"""The model of each section that is checked when a run starts."""
