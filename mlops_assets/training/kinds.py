"""The kinds of model that are trained, in one table, and the titles of all kinds. A blend is made of trained models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.artifact import METRICS_FILES, Kind, TrainedWith
from mlops_assets.code_version import code_version
from mlops_assets.params.models import BertRecipe, ClassicRecipe
from mlops_assets.params.section import Section

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.params.models import Evaluation
    from mlops_assets.training.references import References
    from mlops_assets.training.trained import Trained


@dataclass(frozen=True)
class Training:
    """What every kind is trained with, beside its recipe."""

    frame: "pd.DataFrame"
    """Labelled reviews with sides: review_text, label, side, rating, app_id, review_date, and language if known."""
    folder: Path
    """Where the sealed model goes; empty."""
    trained_with: TrainedWith
    run_id: str
    report: Callable[[str], None]
    checkpoints: Path
    """Where a training that can be continued keeps its state."""
    rules: "Evaluation"
    references: "References | None" = None
    """Reviews of reference apps to learn from; None without such apps."""
    unlabelled: Sequence[str] = ()
    """Texts of the train side without a label, which a teacher can answer."""
    budget: Mapping[str, Any] = field(default_factory=dict)
    """What `most_reviews` left out of `frame` and `references`, for the metrics; empty if nothing."""

    def within(self, recipe: BertRecipe | ClassicRecipe) -> "Training":
        """The training with at most the reviews that the recipe allows."""
        from mlops_assets.training import budget, left_out

        chosen = budget.within(self.frame, self.references, recipe.most_reviews, self.rules.most_texts)
        if not chosen.left_out and not chosen.held_out:
            return self
        record = left_out.on_record(chosen, f"{recipe.section}.most_reviews", recipe.most_reviews, self.rules)
        return replace(self, frame=chosen.frame, references=chosen.references, budget=record)


@dataclass(frozen=True)
class ModelKind:
    """A kind of model that is trained: how it is called, what it is trained with, and what trains it."""

    name: Kind
    title: str
    libraries: frozenset[str]
    """As Dagster shows them on the asset."""
    accuracy_key: str
    """The accuracy on test in the metadata and in a run's outputs."""
    recipe_class: type[Section]
    train: Callable[[Training, Any], "Trained"]

    @property
    def asset(self) -> str:
        return f"{self.name}_model"

    @property
    def metrics_file(self) -> str:
        return METRICS_FILES[self.name]

    def recipe(self, sections: Mapping[str, Mapping[str, Any]]) -> Section:
        """The recipe of this kind's section of params.yaml."""
        return self.recipe_class.from_params(sections[self.name])

    def code(self) -> str:
        """The version of the code that decides what a model of this kind becomes; another kind's does not count."""
        return code_version(f"mlops_assets.training.{self.name}.train")

    def trained_with(
        self,
        dataset_version: str,
        label_rule: str,
        sections: Mapping[str, Mapping[str, Any]],
        *,
        training_data: str,
        reviews: int,
        references: str = "",
        split: str = "",
    ) -> TrainedWith:
        """What a training on this data would be made with."""
        recipe = self.recipe(sections).digest()
        return TrainedWith(dataset_version, label_rule, recipe, self.code(), training_data, reviews, references, split)


def _train_bert(training: Training, recipe: BertRecipe) -> "Trained":
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.bert.train import train_bert

    training = training.within(recipe)
    return train_bert(
        training.frame,
        recipe,
        training.folder,
        trained_with=training.trained_with,
        run_id=training.run_id,
        report=training.report,
        checkpoints=training.checkpoints,
        load=load,
        rules=training.rules,
        references=training.references,
        budget=training.budget,
        unlabelled=training.unlabelled,
    )


def _train_classic(training: Training, recipe: ClassicRecipe) -> "Trained":
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.classic.train import train_classic

    training = training.within(recipe)
    return train_classic(
        training.frame,
        recipe,
        training.folder,
        trained_with=training.trained_with,
        run_id=training.run_id,
        report=training.report,
        load=load,
        rules=training.rules,
        references=training.references,
        budget=training.budget,
    )


BERT = ModelKind(
    name="bert",
    title="BERT",
    libraries=frozenset({"pytorch", "huggingface", "onnx"}),
    accuracy_key="bert_accuracy",
    recipe_class=BertRecipe,
    train=_train_bert,
)
CLASSIC = ModelKind(
    name="classic",
    title="TF-IDF, logistic regression and forest",
    libraries=frozenset({"scikitlearn", "numpy"}),
    accuracy_key="traditional_accuracy",
    recipe_class=ClassicRecipe,
    train=_train_classic,
)
KINDS: Mapping[Kind, ModelKind] = {kind.name: kind for kind in (BERT, CLASSIC)}
TITLES: Mapping[Kind, str] = {
    **{kind.name: kind.title for kind in KINDS.values()},
    "blend": "blend of BERT and the classic model",
}
