"""What every section of params.yaml shares: how it is read, how a wrong value is refused, and its digest."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import isclass
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mlops_assets.failures import BadSetting


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words, if its type and limits do not say it."""

    words: str


class Section(BaseModel):
    """A section of params.yaml. The text under a key describes it in docs/parameters.md and in editors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )
    section: ClassVar[str] = ""
    later: ClassVar[frozenset[str]] = frozenset()
    """Keys that are younger than models: where they have their default, the digest is as it was without them."""
    gone: ClassVar[Mapping[str, str]] = {}
    """Keys that were replaced, with what to write instead."""

    @classmethod
    def from_params(cls, values: Mapping[str, Any]) -> Self:
        """The section as params.yaml has it; raises `BadSetting` that names the key, its rule and the value."""
        values = {str(name): value for name, value in values.items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BadSetting(f"params.yaml: {_refusal(cls, error, values)}") from None

    def digest(self) -> str:
        """The first 12 hex digits of the SHA-256 of every value: equal sections, written any way, share it."""
        fields = type(self).model_fields
        unset = {name for name in self.later if getattr(self, name) == fields[name].default}
        values = json.dumps({"section": self.section, **self.model_dump(exclude=unset)}, sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:12]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _by_name(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): entry for name, entry in value.items()}
    return value or {}


Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number, which may be written as 500.0."""
Number = int | float
"""A number that stays as it is written, so that a message repeats 5 and not 5.0."""
Percent = Annotated[Number, Field(ge=0, le=100)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
ByName = BeforeValidator(_by_name)
"""For mappings: a key without a value has no entries."""

_NAMES: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    Number: "a number",
    bool: "true or false",
    str: "text",
    str | None: "text",
}
_SPANS = {
    "": "",
    "ge": " from {ge}",
    "gt": " above {gt}",
    "gele": " from {ge} to {le}",
    "gelt": " from {ge} to below {lt}",
    "gtle": " above {gt} and at most {le}",
    "gtlt": " above {gt} and below {lt}",
}


def rule_of(kind: Any, metadata: Iterable[Any] = ()) -> str:
    """What a value of this type must be, in words: `a whole number from 1 to 2000`."""
    if get_origin(kind) is Annotated:
        kind, *metadata = get_args(kind)
    if words := [item.words for item in metadata if isinstance(item, Rule)]:
        return words[0]
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if _is_section(kind):
        return "a mapping"
    limits = {
        name: f"{limit:g}" if isinstance(limit, float) else str(limit)
        for item in metadata
        for name in ("ge", "gt", "le", "lt")
        if (limit := getattr(item, name, None)) is not None
    }
    return _NAMES[kind] + _SPANS["".join(limits)].format(**limits)


def _refusal(model: type[Section], error: ValidationError, values: Mapping[str, Any]) -> str:
    """One line about an unknown name, which often explains the rest, or else about the first wrong value."""
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    kind: Any = model
    value: Any = values
    rule, path = "", model.section
    for step in problem["loc"]:
        if _is_section(kind):
            path = f"{path}.{step}" if path else str(step)
            if step not in kind.model_fields:
                if step in kind.gone:
                    return f"{path} is no parameter any more: {kind.gone[str(step)]}"
                return f"{path} is no parameter, known are {', '.join(kind.model_fields)}"
            field = kind.model_fields[str(step)]
            kind, rule = field.annotation, rule_of(field.annotation, field.metadata)
            if step not in value:
                return f"{path} is missing, it must be {rule}"
        elif item := _item_with_rule(kind):
            path += f": {step}" if isinstance(step, str) else ""
            kind, rule = item, rule_of(item)
        else:
            break
        value = value[step]
    if _is_section(kind) and problem["type"] == "value_error":
        return str(problem.get("ctx", {}).get("error"))
    return f"{path} must be {rule}, got {value!r}"


def _is_section(kind: Any) -> bool:
    return isclass(kind) and issubclass(kind, Section)


def _item_with_rule(kind: Any) -> Any:
    """The type of the items of a list or of a mapping, if it has a rule of its own."""
    return next((item for item in get_args(kind) if any(isinstance(each, Rule) for each in get_args(item))), None)
