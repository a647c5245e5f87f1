"""Asks pip-audit about a release's locked packages. A package it could not look up counts as *not audited*."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlops_assets.child_process import run_child
from mlops_assets.deploy.sbom import locked_packages
from mlops_assets.files import replace_file, sha256
from mlops_assets.proxies import through_proxy

_TIMEOUT_S = 120
_DATABASE = "https://pypi.org"
_FRESH = timedelta(days=1)
_FRESH_IF_NOT_AUDITED = timedelta(hours=1)


@dataclass(frozen=True)
class Audit:
    """`findings` are `package version: id`; `skipped` are the packages that were not audited, for the reason `why`."""

    audited: int
    findings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    why: str = ""

    @property
    def clean(self) -> bool:
        """Every package was judged and none has a known vulnerability."""
        return not self.findings and not self.skipped and self.audited > 0

    def summary(self) -> str:
        """The result in one line."""
        parts = []
        if self.findings:
            parts.append(f"{len(self.findings)} known vulnerabilities: {', '.join(self.findings[:5])}")
        if self.skipped:
            parts.append(f"not audited: {len(self.skipped)} packages ({self.why})")
        return "; ".join(parts) or f"{self.audited} packages audited, no finding"


def audit(requirements: Path, program: Sequence[str] = (sys.executable, "-m", "pip_audit")) -> Audit:
    """Judge the locked packages of `requirements`; an auditor that is missing or fails leaves all of them skipped."""
    packages = locked_packages(requirements.read_text(encoding="utf-8"))
    if program[:2] == (sys.executable, "-m") and find_spec(program[2]) is None:
        return Audit(0, skipped=tuple(packages), why="pip-audit is not installed")
    command = [*program, "--requirement", str(requirements), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        done = run_child(command, timeout_s=_TIMEOUT_S)
    except (subprocess.TimeoutExpired, OSError) as error:
        return Audit(
            0,
            skipped=tuple(packages),
            why=f"pip-audit did not end well: {error}{through_proxy(_DATABASE)}".replace("\n", " "),
        )
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Audit(0, skipped=tuple(packages), why=f"pip-audit gave no report: {last}{through_proxy(_DATABASE)}")
    return _judged(packages, rows)


def recent_audit(
    requirements: Path, kept: Path, now: datetime, judge: Callable[[Path], Audit] = audit
) -> tuple[Audit, datetime]:
    """The last audit, from the file `kept`, if it is of the same packages and recent; else a new audit. With its time.

    New vulnerabilities are published daily, and a run with nothing new takes seconds. So an audit is good for a day,
    and for an hour if it could not look everything up.
    """
    lock = sha256(requirements)
    if kept.is_file():
        stored = json.loads(kept.read_text(encoding="utf-8"))
        row = stored["audit"]
        found = Audit(row["audited"], tuple(row["findings"]), tuple(row["skipped"]), row["why"])
        at = datetime.fromisoformat(stored["at"])
        fresh = _FRESH_IF_NOT_AUDITED if found.skipped else _FRESH
        if stored["lock"] == lock and timedelta() <= now - at < fresh:
            return found, at
    found = judge(requirements)
    replace_file(kept, json.dumps({"lock": lock, "at": now.isoformat(), "audit": asdict(found)}))
    return found, now


def _judged(packages: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Audit:
    judged: set[str] = set()
    findings: list[str] = []
    reasons: list[str] = []
    for row in rows:
        name = str(row["name"]).replace("_", "-").replace(".", "-").lower()
        if "vulns" in row and row.get("version") == packages.get(name):
            judged.add(name)
            findings += [f"{name} {row['version']}: {vulnerability['id']}" for vulnerability in row["vulns"]]
        elif "skip_reason" in row:
            reasons.append(str(row["skip_reason"]))
    skipped = tuple(name for name in packages if name not in judged)
    return Audit(len(judged), tuple(findings), skipped, reasons[0] if reasons else "pip-audit's report leaves them out")
