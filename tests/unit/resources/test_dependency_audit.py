"""An audit that could not look is told from one that found nothing."""

import json
import sys
from pathlib import Path

import pytest

from mlops_assets.resources.dependency_audit import audit

LOCK = "# comment\nnumpy==2.4.6\nPyYAML==6.0.3 \\\n    --hash=sha256:00\nprometheus_client==0.26.0\n"
CLEAN = [
    {"name": "numpy", "version": "2.4.6", "vulns": []},
    {"name": "pyyaml", "version": "6.0.3", "vulns": []},
    {"name": "prometheus-client", "version": "0.26.0", "vulns": []},
]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "serving.txt"
    path.write_text(LOCK, encoding="utf-8")
    return path


def auditor(answer: object, code: int = 0) -> tuple[str, ...]:
    """A program that answers as pip-audit would."""
    text = answer if isinstance(answer, str) else json.dumps({"dependencies": answer})
    return (sys.executable, "-c", f"print({text!r}); raise SystemExit({code})")


def test_all_judged_and_none_found_is_clean(lock: Path) -> None:
    found = audit(lock, auditor(CLEAN))
    assert found.clean
    assert found.told() == "3 packages audited, no finding"


def test_skipped_packages_are_not_audited_although_the_auditor_exits_0(lock: Path) -> None:
    skipped = [{"name": row["name"], "skip_reason": "database unreachable"} for row in CLEAN]
    found = audit(lock, auditor(skipped))
    assert not found.clean
    assert found.told() == "not audited: 3 packages (database unreachable)"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param([], 0, id="an empty report"),
        pytest.param("No known vulnerabilities found", 0, id="words instead of a report"),
        pytest.param("", 1, id="nothing"),
        pytest.param(CLEAN[:2], 0, id="one package left out"),
        pytest.param([*CLEAN[:2], {**CLEAN[2], "version": "0.1"}], 0, id="another version"),
    ],
)
def test_whatever_was_not_judged_is_said(lock: Path, answer: object, code: int) -> None:
    found = audit(lock, auditor(answer, code))
    assert not found.clean
    assert "not audited" in found.told()


def test_a_finding_is_named(lock: Path) -> None:
    found = audit(lock, auditor([{**CLEAN[0], "vulns": [{"id": "PYSEC-1"}]}, *CLEAN[1:]], 1))
    assert not found.clean
    assert found.told() == "1 known vulnerabilities: numpy 2.4.6: PYSEC-1"


def test_a_missing_auditor_is_not_audited(lock: Path) -> None:
    found = audit(lock, ("no-such-program",))
    assert found.told().startswith("not audited: 3 packages")
