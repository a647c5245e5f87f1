"""What a training is told: frozen, refuses nonsense in one line, and has a digest that a model is stored with."""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from mlops_assets.failures import PermanentFailure


class BadRecipe(PermanentFailure):
    """A parameter of a model is unknown or breaks its rule."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The shared part of every recipe. A subclass names its section of params.yaml and its fields with defaults."""

    section: ClassVar[str]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """The recipe of one section of params.yaml; refuses unknown names, wrong types and values out of range."""
        types_of = typing.get_type_hints(cls)
        known = [field.name for field in dataclasses.fields(cls)]
        for name, value in params.items():
            if name not in known:
                raise BadRecipe(f"params.yaml: {cls.section}.{name} is no parameter, known are {', '.join(known)}")
            if not _fits(value, types_of[name]):
                raise BadRecipe(f"params.yaml: {cls.section}.{name} must be {_named(types_of[name])}, got {value!r}")
        return cls(**{name: _as(value, types_of[name]) for name, value in params.items()})

    def digest(self) -> str:
        """The first 12 hex digits of the SHA-256 of every value: equal recipes, written any way, share it."""
        values = json.dumps({"section": self.section, **dataclasses.asdict(self)}, sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:12]

    def require(self, name: str, rule: str, *, holds: bool) -> None:
        """Raise `BadRecipe` that names the parameter, its rule and its value, unless the rule holds."""
        if not holds:
            raise BadRecipe(f"{self.section}.{name} must be {rule}, got {getattr(self, name)!r}: correct params.yaml")

    def require_between(self, name: str, least: float, most: float) -> None:
        """Raise `BadRecipe` unless the number lies within both limits, the limits included."""
        self.require(name, f"from {least:g} to {most:g}", holds=least <= getattr(self, name) <= most)


@dataclasses.dataclass(frozen=True)
class ClassicRecipe(Recipe):
    """How the classic model is made. Where several values stand, validation chooses among them."""

    section: ClassVar[str] = "classic"

    word_longest: int = 2
    """Word n-grams of 1 to this many words."""
    char_shortest: int = 2
    char_longest: int = 5
    min_reviews: int = 2
    """An n-gram counts when at least this many reviews hold it (1 below 200 reviews)."""
    max_word_features: int = 30_000
    max_char_features: int = 60_000
    vocabulary_reviews: int = 100_000
    """The vocabulary is learnt on at most this many reviews, drawn at random: it bounds memory."""
    strengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Inverse regularisation of the logistic regression."""
    votes: tuple[float, ...] = (0.0, 0.15, 0.3, 0.45, 0.6)
    """The forest's share of the vote. Where 0 is among them the forest has a vote only if it earns it on validation."""
    search_reviews: int = 20_000
    """Strengths are compared on models of at most this many reviews; only the winner is fitted on all."""
    trees: int = 200
    max_leaf_nodes: int = 200
    tree_reviews: int = 20_000
    """Each tree is grown on at most this many reviews."""
    seed: int = 42

    def __post_init__(self) -> None:
        self.require_between("word_longest", 1, 5)
        self.require_between("char_shortest", 1, 8)
        self.require_between("char_longest", self.char_shortest, 8)
        self.require_between("min_reviews", 1, 1000)
        self.require_between("max_word_features", 1, 1_000_000)
        self.require_between("max_char_features", 1, 1_000_000)
        self.require_between("vocabulary_reviews", 100, 10_000_000)
        self.require_between("search_reviews", 100, 1_000_000)
        self.require_between("trees", 1, 2000)
        self.require_between("max_leaf_nodes", 2, 10_000)
        self.require_between("tree_reviews", 100, 1_000_000)
        self.require_between("seed", 0, 2**31 - 1)
        self.require(
            "strengths",
            "at least one number above 0",
            holds=bool(self.strengths) and all(s > 0 for s in self.strengths),
        )
        self.require(
            "votes",
            "at least one share from 0 to 1",
            holds=bool(self.votes) and all(0 <= share <= 1 for share in self.votes),
        )


def _fits(value: object, wanted: Any) -> bool:
    """Whether a YAML value is of a field's type; whole numbers pass as numbers, booleans as nothing else."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin is typing.Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)


def _as(value: Any, wanted: Any) -> Any:
    """A fitting value in the field's own type, so that `1` and `1.0` in a file make one recipe."""
    if typing.get_origin(wanted) is tuple:
        return tuple(_as(item, typing.get_args(wanted)[0]) for item in value)
    return float(value) if wanted is float else value


def _named(wanted: Any) -> str:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        return f"a list, each {_named(arguments[0])}"
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_named(argument) for argument in arguments)
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "empty"}.get(
        wanted, str(wanted)
    )
