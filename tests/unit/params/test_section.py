"""How a wrong value is refused, whichever section it is in."""

from typing import Any

import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.params.choices import Choices, is_file
from mlops_assets.params.file import Params
from mlops_assets.params.reviews import Sides
from mlops_assets.params.section import Section

APPS = {"apps": ["com.valar.pintu"]}


@pytest.mark.parametrize(
    ("section", "params", "refusal"),
    [
        (Sides, {"train": 80, "validation": 7.5, "gate": 5}, "sides.test is missing, it must be a number above 0 and"),
        (Sides, {1: 2}, "sides.1 is no parameter, known are train, validation, gate, test"),
        (Choices, {"apps": ["com.valar.pintu", "x"]}, "apps must be a package name such as com.valar.pintu, got 'x'"),
        (
            Choices,
            {"apps": "com.valar.pintu"},
            "apps must be a list of at least one package name, got 'com.valar.pintu'",
        ),
        (
            Choices,
            {**APPS, "app_names": {"A": "b"}},
            "app_names: A must be a package name such as com.valar.pintu, got",
        ),
        (
            Choices,
            {**APPS, "reference_apps": ["com.gojek.app", "gojek"]},
            "reference_apps must be a package name of another app such as com.gojek.app, or the path of a file such as "
            "references/gojek.csv, got 'gojek'",
        ),
        (Choices, {**APPS, "reference_apps": ["sample.app"]}, "reference_apps must be a package name of another app"),
        (Choices, {**APPS, "reference_apps": "com.gojek.app"}, "reference_apps must be a list of package names and"),
        (
            Choices,
            {**APPS, "reference_apps": ["a.b", "com.valar.pintu"]},
            "com.valar.pintu stands under apps and under reference_apps: keep one of the two lines",
        ),
        (Params, {**APPS, "versions": {"retention": {"data_day": 1}}}, "versions.retention.data_day is no parameter"),
        (Params, {**APPS, "drift": {"alpha": 1}, "drfit": {}}, "drfit is no parameter, known are apps, app_names"),
    ],
)
def test_one_line_names_the_key_the_rule_and_the_value(
    section: type[Section], params: dict[Any, Any], refusal: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        section.from_params(params)
    assert str(refused.value).startswith(f"params.yaml: {refusal}")
    assert "\n" not in str(refused.value)


def test_reference_apps_are_ids_and_files_each_once() -> None:
    assert Choices.from_params({**APPS, "reference_apps": None}).reference_apps == ()
    entries = ["com.gojek.app", "reviews.csv", "../all/of them", "com.gojek.app", "a/b.csv"]
    found = Choices.from_params({**APPS, "reference_apps": entries}).reference_apps
    assert found == ("com.gojek.app", "reviews.csv", "../all/of them", "a/b.csv")
    assert [is_file(entry) for entry in found] == [False, True, True, True]
