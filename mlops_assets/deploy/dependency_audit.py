"""Asks pip-audit about locked packages. A package that it could not look up counts as *not audited*.

`locks/accepted.toml` accepts a vulnerability of one version of one package until a date, for a reason.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlops_assets.child_process import run_child
from mlops_assets.deploy.sbom import locked_packages, normalised
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, sha256
from mlops_assets.proxies import through_proxy

_TIMEOUT_S = 120
_DATABASE = "https://pypi.org"
ACCEPTED = "accepted.toml"
"""Beside the locks."""
_FRESH = timedelta(days=1)
_FRESH_IF_NOT_AUDITED = timedelta(hours=1)


class BadException(PermanentFailure):
    """An entry of `accepted.toml` that does not say what is accepted, why and until when."""


@dataclass(frozen=True)
class Accepted:
    """A vulnerability that is accepted through the day `until`. `package` is `name==version`."""

    id: str
    package: str
    reason: str
    until: date

    def __post_init__(self) -> None:
        empty = [name for name in ("id", "package", "reason") if not str(getattr(self, name)).strip()]
        if empty or "==" not in self.package or type(self.until) is not date:
            raise BadException(
                f"accepted vulnerability {self.id!r} of {self.package!r}: give id, package as name==version, reason, "
                f"and until as a date without quotes, got {self.until!r}"
            )


@dataclass(frozen=True)
class Audit:
    """`findings` are `package version: id`; `skipped` are the packages that were not audited, for the reason `why`.

    accepted: findings that `accepted.toml` accepts for now
    """

    audited: int
    findings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    why: str = ""
    accepted: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Every package was judged and none has a known vulnerability that is not accepted."""
        return not self.findings and not self.skipped and self.audited > 0

    def summary(self) -> str:
        """The result in one line."""
        parts = []
        if self.findings:
            parts.append(f"{len(self.findings)} known vulnerabilities: {', '.join(self.findings[:5])}")
        if self.skipped:
            parts.append(f"not audited: {len(self.skipped)} packages ({self.why})")
        parts = parts or [f"{self.audited} packages audited, no finding"]
        if self.accepted:
            parts.append(f"accepted for now: {', '.join(self.accepted)}")
        return "; ".join(parts)


def read_accepted(file: Path) -> tuple[Accepted, ...]:
    """The accepted vulnerabilities; raises `BadException`."""
    if not file.is_file():
        return ()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return tuple(Accepted(**entry) for entry in content.pop("accepted", []))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise BadException(f"{file}: {error}. An entry [[accepted]] has id, package, reason and until") from error


def audit(
    requirements: Path,
    program: Sequence[str] = (sys.executable, "-m", "pip_audit"),
    *,
    today: date,
    accepted: Sequence[Accepted] = (),
) -> Audit:
    """Judge the locked packages of `requirements`; an auditor that is missing or fails leaves all of them skipped."""
    locked = locked_packages(requirements.read_text(encoding="utf-8"))
    packages = {name: package.version for name, package in locked.items()}
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
    return _judged(packages, rows, [entry for entry in accepted if today <= entry.until])


def recent_audit(
    requirements: Path, kept: Path, now: datetime, judge: Callable[[Path], Audit] | None = None
) -> tuple[Audit, datetime]:
    """The last audit, from the file `kept`, if it is of the same packages and recent; else a new audit. With its time.

    New vulnerabilities are published daily, and a run with nothing new takes seconds. So an audit is good for a day,
    and for an hour if it could not look everything up.
    """
    exceptions = requirements.with_name(ACCEPTED)
    lock = sha256(requirements) + (sha256(exceptions) if exceptions.is_file() else "")
    if kept.is_file():
        stored = json.loads(kept.read_text(encoding="utf-8"))
        row = stored["audit"]
        accepted = tuple(row.get("accepted", ()))  # an earlier version wrote none
        found = Audit(row["audited"], tuple(row["findings"]), tuple(row["skipped"]), row["why"], accepted)
        at = datetime.fromisoformat(stored["at"])
        fresh = _FRESH_IF_NOT_AUDITED if found.skipped else _FRESH
        if stored["lock"] == lock and timedelta() <= now - at < fresh:
            return found, at
    judge = judge or partial(audit, today=now.date(), accepted=read_accepted(exceptions))
    found = judge(requirements)
    replace_file(kept, json.dumps({"lock": lock, "at": now.isoformat(), "audit": asdict(found)}))
    return found, now


def _judged(packages: Mapping[str, str], rows: Sequence[Mapping[str, Any]], accepted: Sequence[Accepted]) -> Audit:
    judged: set[str] = set()
    findings: list[str] = []
    accepted_findings: list[str] = []
    reasons: list[str] = []
    for row in rows:
        name = normalised(str(row["name"]))
        if "vulns" in row and row.get("version") == packages.get(name):
            judged.add(name)
            known = {entry.id: entry for entry in accepted if _names(entry, name, packages[name])}
            for vulnerability in row["vulns"]:
                finding = f"{name} {row['version']}: {vulnerability['id']}"
                entry = next(filter(None, map(known.get, _ids(vulnerability))), None)
                if entry is None:
                    findings.append(finding)
                else:
                    accepted_findings.append(f"{finding} until {entry.until}")
        elif "skip_reason" in row:
            reasons.append(str(row["skip_reason"]))
    skipped = tuple(name for name in packages if name not in judged)
    why = reasons[0] if reasons else "pip-audit's report leaves them out"
    return Audit(len(judged), tuple(findings), skipped, why, tuple(accepted_findings))


def _names(entry: Accepted, name: str, version: str) -> bool:
    package, _, of_version = entry.package.partition("==")
    return (normalised(package.strip()), of_version.strip()) == (name, version)


def _ids(vulnerability: Mapping[str, Any]) -> tuple[str, ...]:
    """Its id and aliases: one database calls it PYSEC, another GHSA or CVE."""
    return (str(vulnerability["id"]), *map(str, vulnerability.get("aliases", ())))
