"""What the pipeline works on: the apps, the source and the labels, and when runs start."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlops_assets.params.operations import Triggers
from mlops_assets.params.section import ByName, Rule, Section
from mlops_assets.trained_on import SAMPLE_APP

Source = Literal["sample", "file", "play_store"]
LabelRule = Literal["binary", "ternary"]

APP_PATTERN = r"^[A-Za-z]\w*(\.[A-Za-z]\w*)+$"
MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"
_FILE = re.compile(r".*/.*|.*\.(csv|tsv|txt|jsonl?|ndjson|xls[xbm]?|ods|parquet|feather|arrow|gz)", re.IGNORECASE)
App = Annotated[str, Field(pattern=APP_PATTERN), Rule("a package name such as com.valar.pintu")]


def is_file(reference: str) -> bool:
    """Whether an entry of `reference_apps` is the path of a file: it has a slash, or the ending of a file."""
    return _FILE.fullmatch(reference) is not None


def _reference(entry: str) -> str:
    if not is_file(entry) and (not re.fullmatch(APP_PATTERN, entry) or entry == SAMPLE_APP):
        raise ValueError(entry)
    return entry


Reference = Annotated[
    str,
    AfterValidator(_reference),
    Rule("a package name of another app such as com.gojek.app, or the path of a file such as references/gojek.csv"),
]


class Choices(Section):
    """What the pipeline works on, and when it runs. A wrong value stops every command."""

    apps: Annotated[tuple[App, ...], Rule("a list of at least one package name")] = Field(min_length=1, strict=False)
    """The apps whose reviews are collected, by their ids on Google Play."""
    app_names: Annotated[dict[str, App], ByName, Rule("a mapping of names to package names")] = Field(default={})
    """Names that imported files give their apps, such as {BRImo: id.co.bri.brimo}."""
    reference_apps: Annotated[
        tuple[Reference, ...],
        BeforeValidator(lambda value: () if value is None else value),
        AfterValidator(lambda entries: tuple(dict.fromkeys(entries))),
        Rule("a list of package names and paths of files of reviews"),
    ] = Field(default=(), strict=False)
    """Other apps, whose reviews the models learn from as well: ids on Google Play, and files (a path is relative to the
    project). They are on the train side only; `reference` says how many of them count."""
    first_month: Annotated[str, Rule("a month as YYYY-MM")] = Field(default="2016-01", pattern=MONTH_PATTERN)
    """The earliest month that can be collected or imported."""
    source: Source = "sample"
    """Where reviews come from: made-up ones (sample), files (file) or Google Play (play_store). SOURCE and REVIEWS in
    the environment come first."""
    labels: LabelRule = "binary"
    """How stars become labels. Both: 1 and 2 negative, 4 and 5 positive. 3 is dropped (binary) or neutral (ternary)."""
    triggers: Annotated[Triggers, ByName] = Field(default_factory=Triggers)
    """When runs start by themselves: the keys of `triggers`."""

    @model_validator(mode="after")
    def _be_apart(self) -> Self:
        if both := [app for app in self.apps if app in self.reference_apps]:
            raise ValueError(f"{both[0]} stands under apps and under reference_apps: keep one of the two lines")
        return self
