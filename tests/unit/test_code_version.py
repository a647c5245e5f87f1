import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets import code_version as module
from mlops_assets.code_version import code_version, imported_code

RULE = '''"""What a model may weigh."""

import logging

logger = logging.getLogger(__name__)

LARGEST = 5
"""Megabytes."""


def refuse(size, report):
    """Raise unless it fits."""
    # The server loads it whole.
    logger.warning("size %s", size)
    report(f"it weighs {size} MB")
    print("weighed")
    if size > LARGEST:
        raise ValueError(f"{size} is more than {LARGEST}")
    return {"size": size}
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a module `first` that imports `second` inside a function, and a `third` that stands alone."""
    (tmp_path / "rooms").mkdir()
    (tmp_path / "first.py").write_text("def run():\n    from mlops_assets.rooms import second\n    return second\n")
    (tmp_path / "rooms" / "second.py").write_text(RULE)
    (tmp_path / "third.py").write_text("A = 1\n")
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"""What a model may weigh."""', '"""Another docstring."""'),
        ('"""Raise unless it fits."""', '"""Raise where it is too large."""'),
        ('    """Raise unless it fits."""\n', ""),
        ('"""Megabytes."""', '"""MB."""'),
        ("# The server loads it whole.", "# Why not?"),
        ("    if size > LARGEST:\n", "    if (\n        size > LARGEST\n    ):\n\n"),
        ('"size %s"', '"the size is %s"'),
        ('f"it weighs {size} MB"', 'f"{size} MB, at most {LARGEST}"'),
        ('"weighed"', '"done"'),
        ('f"{size} is more than {LARGEST}"', '"too large"'),
    ],
    ids=lambda text: text.strip()[:30],
)
def test_what_only_people_read_does_not_count(package: Path, written: str, instead: str) -> None:
    before = code_version("mlops_assets.first")
    assert written in RULE
    (package / "rooms" / "second.py").write_text(RULE.replace(written, instead))
    assert code_version("mlops_assets.first") == before


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("LARGEST = 5", "LARGEST = 6"),
        ("size > LARGEST", "size >= LARGEST"),
        ('{"size": size}', '{"megabytes": size}'),
        ("raise ValueError(", "raise TypeError("),
        ('("size %s", size)', '("size %s", LARGEST)'),
    ],
)
def test_every_other_constant_and_expression_of_an_imported_module_counts(
    package: Path, written: str, instead: str
) -> None:
    before = code_version("mlops_assets.first")
    assert written in RULE
    (package / "rooms" / "second.py").write_text(RULE.replace(written, instead))
    assert code_version("mlops_assets.first") != before


def test_a_module_that_is_not_imported_does_not_count(package: Path) -> None:
    before = code_version("mlops_assets.first")
    (package / "third.py").write_text("A = 2\n")
    assert code_version("mlops_assets.first") == before
    assert imported_code("mlops_assets.first").keys() == {"mlops_assets.first", "mlops_assets.rooms.second"}


def test_a_module_that_is_not_there_is_refused(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"mlops_assets\.fourth"):
        code_version("mlops_assets.first", "mlops_assets.fourth")


def test_a_source_is_parsed_once_and_a_torn_or_missing_record_changes_nothing(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    parse = module._parse.__wrapped__
    monkeypatch.setattr(module, "_parse", lambda source: parsed.append(source) or parse(source))
    before = code_version("mlops_assets.first")
    assert (code_version("mlops_assets.first"), len(parsed)) == (before, 2)
    (record,) = (package / "__pycache__").iterdir()
    record.write_text("{torn")
    assert (code_version("mlops_assets.first"), len(parsed)) == (before, 4)


def test_this_package_has_the_same_version_in_every_process() -> None:
    script = "from mlops_assets.code_version import code_version; print(code_version('mlops_assets.artifact'))"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == code_version("mlops_assets.artifact")
