"""The parameters of validation that name apps: what they take, what they refuse, and how it is said."""

from datetime import date

import pytest
import yaml

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.reviews import ValidationOptions

APP = "com.example.app"
TODAY = date(2026, 3, 15)


def read(text: str) -> ValidationOptions:
    return ValidationOptions.from_params(yaml.safe_load(text))


def test_bounds_and_days_are_read_as_people_write_them():
    options = read(f"positive_share: {{{APP}: [0.05, 1]}}\npositive_share_since: {{{APP}: 2026-03-14}}")
    assert options.bounds_of(APP) == (0.05, 1.0)
    assert options.bounds_of("com.another.app") == (0.30, 0.90)
    assert options.positive_share_since == {APP: date(2026, 3, 14)}
    assert read(f"positive_share_since: {{{APP}: '2026-03-14'}}") == read(f"positive_share_since:\n  {APP}: 2026-03-14")


def test_a_name_without_content_names_no_app():
    assert read("positive_share:\npositive_share_since: {}") == ValidationOptions()


@pytest.mark.parametrize(
    "bounds",
    ["[5, 99]", "[0.99, 0.05]", "[0.5, 0.5]", "[0.05]", "[0.05, 0.5, 0.99]", "0.9", "5% to 99%", "['0.05', '0.99']",
     "[-0.1, 0.9]", "[0.1, 1.01]", "[.nan, 0.9]", "[true, false]", "{least: 0.1}", ""],
)  # fmt: skip
def test_bad_bounds_are_refused_with_app_rule_and_value(bounds: str):
    with pytest.raises(PermanentFailure) as refused:
        read(f"positive_share:\n  {APP}: {bounds}")
    said = str(refused.value)
    assert f"validation.positive_share: {APP} must be the least and the most share" in said
    assert "such as [0.05, 0.99]" in said
    assert repr(yaml.safe_load(bounds)) in said


def test_a_language_is_a_code_or_a_script():
    assert read(f"language: {{{APP}: es}}").language == {APP: "es"}
    assert read(f"language: {{{APP}: 'script:THAI'}}").language == {APP: "script:THAI"}
    for wrong in ("no", "Spanish", "[id, en]"):
        with pytest.raises(PermanentFailure, match=f"validation.language: {APP} must be a language code such as id"):
            read(f"language: {{{APP}: {wrong}}}")
    with pytest.raises(PermanentFailure, match=r"validation.language names com.other.app"):
        ValidationOptions(language={"com.other.app": "es"}).require_apps([APP], TODAY)


@pytest.mark.parametrize("name", ["positive_share", "positive_share_since"])
@pytest.mark.parametrize("value", ["[0.05, 0.99]", "0.5", "yes please"])
def test_what_names_no_app_is_refused(name: str, value: str):
    with pytest.raises(PermanentFailure, match=f"validation.{name} must be a mapping of apps, such as {{{APP}: "):
        read(f"{name}: {value}")


@pytest.mark.parametrize("day", ["yesterday", "2026-03-14T10:00:00Z", "20", "[2026-03-14]", "2026-02-30x"])
def test_what_is_no_day_is_refused(day: str):
    with pytest.raises(PermanentFailure, match=f"positive_share_since: {APP} must be a day such as 2026-01-31, got "):
        read(f"positive_share_since: {{{APP}: {day}}}")


def test_an_app_that_does_not_exist_is_refused():
    options = read("positive_share: {com.exmaple.app: [0.05, 0.99]}")
    with pytest.raises(PermanentFailure, match=r"names com.exmaple.app, but the apps here are com.example.app, sample"):
        options.require_apps({APP, "sample.app"}, TODAY)
    options.require_apps({"com.exmaple.app"}, TODAY)


def test_a_day_that_is_still_to_come_would_switch_the_check_off_and_is_refused():
    read(f"positive_share_since: {{{APP}: 2026-03-16}}").require_apps({APP}, TODAY)
    with pytest.raises(PermanentFailure, match=f"the day of {APP} must not be after today, 2026-03-15, got 2026-03-17"):
        read(f"positive_share_since: {{{APP}: 2026-03-17}}").require_apps({APP}, TODAY)


def test_the_line_of_the_section_reads_back_as_what_it_says():
    options = read(f"most_foreign_percent: 20\npositive_share_since: {{{APP}: 2026-03-14}}")
    line = options.line_with("positive_share", {"com.another.app": (0.04, 0.24)})
    assert line == (
        "validation: {most_foreign_percent: 20, positive_share: {com.another.app: [0.04, 0.24]}, "
        f"positive_share_since: {{{APP}: 2026-03-14}}}}  # see docs/validation.md"
    )
    again = ValidationOptions.from_params(yaml.safe_load(f"{line}.; another: {{claim}}")["validation"])
    assert again == ValidationOptions(
        most_foreign_percent=20,
        positive_share={"com.another.app": (0.04, 0.24)},
        positive_share_since={APP: date(2026, 3, 14)},
    )
