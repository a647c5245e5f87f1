"""The section `validation`: the limits of the checks of reviews, and the line that changes them."""

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import AfterValidator, BeforeValidator, Field

from mlops_assets.failures import BadSetting
from mlops_assets.params.section import ByName, Number, Percent, Rule, Section, Whole

LEAST_POSITIVE, MOST_POSITIVE = 0.30, 0.90


def _in_order(bounds: tuple[Number, Number]) -> tuple[float, float]:
    least, most = bounds
    if not 0 <= least < most <= 1:
        raise ValueError(bounds)
    return float(least), float(most)


def _day(value: object) -> object:
    if isinstance(value, datetime):
        raise ValueError(value)  # noqa: TRY004  pydantic collects only these
    return date.fromisoformat(value) if isinstance(value, str) else value


Bounds = Annotated[
    tuple[Number, Number],
    Field(strict=False),
    AfterValidator(_in_order),
    Rule(
        "the least and the most share of positive labels, from 0 to 1 and the smaller one first, such as [0.05, 0.99]"
    ),
]
Day = Annotated[date, BeforeValidator(_day), Rule("a day such as 2026-01-31")]


class ValidationOptions(Section):
    """Limits of the checks of reviews; see [validation.md](validation.md). Percentages are of reviews."""

    section: ClassVar[str] = "validation"

    most_quarantined_percent: Percent = 5
    """More reviews than this in quarantine stop the run: the source's format has probably changed."""
    most_repeated_percent: Percent = 60
    """A warning if more reviews than this repeat the text of another review."""
    most_template_percent: Percent = 10
    """A warning if more reviews than this follow one template, as bought reviews do."""
    most_foreign_percent: Percent = 10
    """A warning if more reviews than this are in another language than expected."""
    most_mismatched_percent: Percent = 30
    """A warning if the stars contradict the text in more reviews than this."""
    sample: Whole = Field(default=2000, ge=100)
    """Reviews that the slow checks look at. The same reviews always give the same sample."""
    positive_share: Annotated[
        dict[str, Bounds], ByName, Rule("a mapping of apps, such as {com.example.app: [0.05, 0.99]}")
    ] = Field(default={})
    """For each app, the least and the most share of positive labels, if 0.30 and 0.90 are wrong for it. A failed check
    prints the line to copy."""
    positive_share_since: Annotated[
        dict[str, Day], ByName, Rule("a mapping of apps, such as {com.example.app: 2026-01-31}")
    ] = Field(default={})
    """For each app, the day (UTC) since which its share of positive labels has changed for good. Older reviews are not
    compared with newer ones."""

    def require_apps(self, known: Collection[str], today: date) -> None:
        """Raise if a parameter names an app that does not exist, or a day in the future."""
        for name, apps in (
            ("positive_share", self.positive_share),
            ("positive_share_since", self.positive_share_since),
        ):
            for app in apps:
                if app not in known:
                    raise BadSetting(
                        f"params.yaml: validation.{name} names {app}, but the apps here are "
                        f"{', '.join(sorted(known))}: correct the name, or add the app under apps"
                    )
        for app, day in self.positive_share_since.items():
            if day > today + timedelta(days=1):
                raise BadSetting(
                    f"params.yaml: validation.positive_share_since: the day of {app} must not be after today, {today}, "
                    f"got {day}: write the day from which on its reviews differ"
                )

    def bounds_of(self, app: str) -> tuple[float, float]:
        """The least and the most share of positive labels of an app."""
        return self.positive_share.get(app, (LEAST_POSITIVE, MOST_POSITIVE))

    def line_with(self, name: str, added: Mapping[str, object]) -> str:
        """The section as one line of params.yaml, with these apps added to the parameter `name`.

        It ends in a comment: whoever copies the rest of the message with it, or a full stop, still has correct YAML.
        """
        changed: dict[str, Any] = self.model_dump(exclude_defaults=True)
        changed[name] = {**changed.get(name, {}), **added}
        if bounds := changed.get("positive_share"):
            changed["positive_share"] = {app: list(pair) for app, pair in bounds.items()}
        ordered = {key: changed[key] for key in type(self).model_fields if key in changed}
        line = yaml.safe_dump(ordered, default_flow_style=True, sort_keys=False, width=10**9)
        return f"validation: {line.strip()}  # see docs/validation.md"
