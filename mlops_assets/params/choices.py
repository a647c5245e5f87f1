"""What the pipeline works on: the apps, the source and the labels, and when runs start."""

from typing import Annotated, Literal

from pydantic import Field

from mlops_assets.params.operations import Triggers
from mlops_assets.params.section import ByName, Rule, Section

Source = Literal["sample", "file", "play_store"]
LabelRule = Literal["binary", "ternary"]

APP_PATTERN = r"^[A-Za-z]\w*(\.[A-Za-z]\w*)+$"
MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"
App = Annotated[str, Field(pattern=APP_PATTERN), Rule("a package name such as com.valar.pintu")]


class Choices(Section):
    """What the pipeline works on, and when it runs. A wrong value stops every command."""

    apps: Annotated[tuple[App, ...], Rule("a list of at least one package name")] = Field(min_length=1, strict=False)
    """The apps whose reviews are collected, by their ids on Google Play."""
    app_names: Annotated[dict[str, App], ByName, Rule("a mapping of names to package names")] = Field(default={})
    """Names that imported files give their apps, such as {BRImo: id.co.bri.brimo}."""
    first_month: Annotated[str, Rule("a month as YYYY-MM")] = Field(default="2016-01", pattern=MONTH_PATTERN)
    """The earliest month that can be collected or imported."""
    source: Source = "sample"
    """Where reviews come from: made-up ones (sample), files (file) or Google Play (play_store). SOURCE and REVIEWS in
    the environment come first."""
    labels: LabelRule = "binary"
    """How stars become labels. Both: 1 and 2 negative, 4 and 5 positive. 3 is dropped (binary) or neutral (ternary)."""
    triggers: Annotated[Triggers, ByName] = Field(default_factory=Triggers)
    """When runs start by themselves: the keys of `triggers`."""
