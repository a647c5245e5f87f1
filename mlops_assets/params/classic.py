"""The section `classic`: how the classic model is trained."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from mlops_assets.params.section import Rule, Section, Seed


class ClassicRecipe(Section):
    """How the classic model is trained: a logistic regression on word and character n-grams, and a random forest.

    Where a key lists several values, the validation side decides among them. A change retrains the model.
    """

    section: ClassVar[str] = "classic"

    word_longest: int = Field(default=2, ge=1, le=5)
    """The longest word n-gram: n-grams of 1 to this many words are features."""
    char_shortest: int = Field(default=2, ge=1, le=8)
    """The shortest character n-gram."""
    char_longest: int = Field(default=5, ge=1, le=8)
    """The longest character n-gram, at least `char_shortest`."""
    min_reviews: int = Field(default=2, ge=1, le=1000)
    """An n-gram is a feature if at least this many reviews contain it (1 below 200 reviews)."""
    max_word_features: int = Field(default=30_000, ge=1, le=1_000_000)
    """The most word n-grams that are kept. Lower it for a smaller and faster model."""
    max_char_features: int = Field(default=60_000, ge=1, le=1_000_000)
    """The most character n-grams that are kept. Lower it for a smaller and faster model."""
    vocabulary_reviews: int = Field(default=100_000, ge=100, le=10_000_000)
    """N-grams are chosen from at most this many reviews, drawn at random. Lower it to use less memory."""
    strengths: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Rule("a list of at least one number above 0")] = (
        Field(default=(0.5, 1.0, 2.0, 4.0), min_length=1, strict=False)
    )
    """Inverse regularisation strengths of the logistic regression to try."""
    votes: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...], Rule("a list of at least one share from 0 to 1")
    ] = Field(default=(0.0, 0.15, 0.3, 0.45, 0.6), min_length=1, strict=False)
    """Shares of the forest in the vote to try. If 0 is in the list, the forest votes only if that helps."""
    search_reviews: int = Field(default=20_000, ge=100, le=1_000_000)
    """`strengths` are compared on at most this many reviews. The final model is trained on all."""
    trees: int = Field(default=200, ge=1, le=2000)
    """Trees of the forest. Fewer train faster."""
    max_leaf_nodes: int = Field(default=200, ge=2, le=10_000)
    """The most leaves of a tree. More make a larger model."""
    tree_reviews: int = Field(default=20_000, ge=100, le=1_000_000)
    """Each tree is grown on at most this many reviews."""
    seed: Seed = 42
    """Seed of everything random: the same seed and data give the same model."""

    @model_validator(mode="after")
    def _longest_is_not_shorter(self) -> Self:
        if self.char_longest < self.char_shortest:
            raise ValueError(f"classic.char_longest must be from {self.char_shortest} to 8, got {self.char_longest}")
        return self
