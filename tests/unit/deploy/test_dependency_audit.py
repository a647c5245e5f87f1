"""An audit that could not look is told from one that found nothing."""

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.checks.deploy import packages_have_no_known_vulnerability
from mlops_assets.cli.data import audit_locks
from mlops_assets.deploy.dependency_audit import (
    ACCEPTED,
    Accepted,
    Audit,
    BadException,
    audit,
    read_accepted,
    recent_audit,
)
from tests.repository import ROOT
from tests.user_clone import make_clone, settings_of

LOCK = "# comment\nnumpy==2.4.6\nPyYAML==6.0.3 \\\n    --hash=sha256:00\nprometheus_client==0.26.0\n"
CLEAN = [
    {"name": "numpy", "version": "2.4.6", "vulns": []},
    {"name": "pyyaml", "version": "6.0.3", "vulns": []},
    {"name": "prometheus-client", "version": "0.26.0", "vulns": []},
]

TODAY = date(2026, 3, 1)


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
    found = audit(lock, auditor(CLEAN), today=TODAY)
    assert found.clean
    assert found.summary() == "3 packages audited, no finding"


def test_skipped_packages_are_not_audited_although_the_auditor_exits_0(lock: Path) -> None:
    skipped = [{"name": row["name"], "skip_reason": "database unreachable"} for row in CLEAN]
    found = audit(lock, auditor(skipped), today=TODAY)
    assert not found.clean
    assert found.summary() == "not audited: 3 packages (database unreachable)"


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
    found = audit(lock, auditor(answer, code), today=TODAY)
    assert not found.clean
    assert "not audited" in found.summary()


def test_a_finding_is_named(lock: Path) -> None:
    found = audit(lock, auditor([{**CLEAN[0], "vulns": [{"id": "PYSEC-1"}]}, *CLEAN[1:]], 1), today=TODAY)
    assert not found.clean
    assert found.summary() == "1 known vulnerabilities: numpy 2.4.6: PYSEC-1"


def test_a_missing_auditor_is_not_audited(lock: Path) -> None:
    found = audit(lock, ("no-such-program",), today=TODAY)
    assert found.summary().startswith("not audited: 3 packages")


FINDING = [{**CLEAN[0], "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"]}]}, *CLEAN[1:]]
ACCEPTING = """[[accepted]]
id = "CVE-2026-1"
package = "numpy==2.4.6"
until = 2026-03-01
reason = "The function is not called."
"""


@pytest.mark.parametrize(
    ("change", "today", "summary"),
    [
        (("", ""), TODAY, "3 packages audited, no finding; accepted for now: numpy 2.4.6: PYSEC-1 until 2026-03-01"),
        (("", ""), TODAY + timedelta(days=1), "1 known vulnerabilities: numpy 2.4.6: PYSEC-1"),
        (("CVE-2026-1", "CVE-2026-2"), TODAY, "1 known vulnerabilities: numpy 2.4.6: PYSEC-1"),
        (("2.4.6", "2.4.5"), TODAY, "1 known vulnerabilities: numpy 2.4.6: PYSEC-1"),
        (("numpy", "pyyaml"), TODAY, "1 known vulnerabilities: numpy 2.4.6: PYSEC-1"),
    ],
)
def test_a_finding_is_accepted_for_one_version_until_a_day(
    lock: Path, tmp_path: Path, change: tuple[str, str], today: date, summary: str
) -> None:
    (tmp_path / ACCEPTED).write_text(ACCEPTING.replace(*change), encoding="utf-8")
    found = audit(lock, auditor(FINDING, 1), today=today, accepted=read_accepted(tmp_path / ACCEPTED))
    assert found.summary() == summary
    assert found.clean is summary.startswith("3 packages")


def test_a_finding_that_came_after_the_accepted_one_is_not_accepted(lock: Path) -> None:
    accepted = [Accepted("CVE-2026-1", "numpy==2.4.6", "The function is not called.", TODAY)]
    second = [{**FINDING[0], "vulns": [*FINDING[0]["vulns"], {"id": "PYSEC-2"}]}, *CLEAN[1:]]
    found = audit(lock, auditor(second, 1), today=TODAY, accepted=accepted)
    assert found.findings == ("numpy 2.4.6: PYSEC-2",)
    assert not found.clean


@pytest.mark.parametrize(
    "change",
    [
        ("until = 2026-03-01\n", ""),
        ("until = 2026-03-01", 'until = "2099"'),
        ("until = 2026-03-01", "until = 2026-03-01T00:00:00"),
        ('reason = "The function is not called."', 'reason = " "'),
        ("numpy==2.4.6", "numpy"),
        ("[[accepted]]", "[[accepted]"),
        ("id = ", "cve = "),
    ],
)
def test_an_exception_without_reason_version_or_date_is_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    (tmp_path / ACCEPTED).write_text(ACCEPTING.replace(*change), encoding="utf-8")
    with pytest.raises(BadException):
        read_accepted(tmp_path / ACCEPTED)


def test_a_file_of_exceptions_that_cannot_be_read_warns_and_stops_no_run(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone")
    (clone / "locks").mkdir()
    (clone / "locks" / "serving.txt").write_text(LOCK, encoding="utf-8")
    (clone / "locks" / ACCEPTED).write_text("[[accepted]]\nid = 'CVE-1'\n", encoding="utf-8")
    result = packages_have_no_known_vulnerability(settings=settings_of(clone))
    assert isinstance(result, dg.AssetCheckResult)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "not audited" in str(result.description)
    assert "An entry [[accepted]] has id, package, reason and until" in str(result.description)


def test_every_exception_names_a_package_of_a_lock_and_ends_within_a_year() -> None:
    locks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "locks").glob("*.txt"))
    accepted = read_accepted(ROOT / "locks" / ACCEPTED)
    assert all(f"\n{entry.package} " in locks for entry in accepted), "an exception outlived its package: remove it"
    assert all(entry.until < date(2027, 12, 1) for entry in accepted)


class Database(ThreadingHTTPServer):
    """Answers as OSV does: a vulnerability of `bad`, none of the rest, or `status` where that is no 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Osv)
        self.bad, self.status = "", 200


class _Osv(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:  # the name that http.server calls
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        found = {"vulns": [{"id": "PYSEC-7", "affected": [{"package": {"name": asked, "ecosystem": "PyPI"}}]}]}
        body = json.dumps(found if asked == self.server.bad else {}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_about: object) -> None:
        return


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("bad", "status", "told"),
    [
        ("", 200, "3 packages audited, no finding"),
        ("pyyaml", 200, "1 known vulnerabilities: pyyaml 6.0.3: PYSEC-7"),
        ("", 503, "not audited: 3 packages (pip-audit gave no report"),
    ],
)
def test_the_real_auditor_says_what_its_database_knows(
    lock: Path, database: Database, bad: str, status: int, told: str
) -> None:
    database.bad, database.status = bad, status
    url = f"http://127.0.0.1:{database.server_address[1]}/v1/query"
    lock.write_text("numpy==2.4.6\nPyYAML==6.0.3\nprometheus_client==0.26.0\n", encoding="utf-8")
    service = ("--vulnerability-service", "osv", "--osv-url", url)
    found = audit(lock, (sys.executable, "-m", "pip_audit", *service), today=TODAY)
    assert found.summary().startswith(told)
    assert found.clean is (told == "3 packages audited, no finding")


@pytest.mark.slow
def test_make_audit_judges_every_lock_and_fails_for_one_finding(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With two of the locks, the one whose options are special and a small one."""
    clone = make_clone(tmp_path / "clone")
    (clone / "locks").mkdir()
    for name in ("dvc.txt", "installers.txt", ACCEPTED):
        shutil.copyfile(ROOT / "locks" / name, clone / "locks" / name)
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{database.server_address[1]}/v1/query")
    settings = settings_of(clone, NOW="2026-12-01T00:00:00+00:00")
    database.bad = "diskcache"
    assert audit_locks(settings) == 1
    rows = capsys.readouterr().out
    assert "dvc.txt         1 known vulnerabilities: diskcache 5.6.3: PYSEC-7" in rows
    assert "installers.txt  3 packages audited, no finding" in rows
    (clone / "locks" / "dvc.txt").unlink()
    assert audit_locks(settings) == 0


NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "after", "again"),
    [
        (Audit(3), timedelta(hours=23.9), False),
        (Audit(3), timedelta(days=1), True),
        (Audit(2, skipped=("numpy",), why="unreachable"), timedelta(minutes=59), False),
        (Audit(2, skipped=("numpy",), why="unreachable"), timedelta(hours=1), True),
        (Audit(3, findings=("numpy 2.4.6: PYSEC-1",)), timedelta(minutes=1), False),
        (Audit(3), -timedelta(minutes=1), True),
    ],
)
def test_an_audit_holds_a_day_and_one_that_could_not_look_an_hour(
    lock: Path, tmp_path: Path, first: Audit, after: timedelta, again: bool
) -> None:
    kept = tmp_path / "instance" / "audit.json"
    assert recent_audit(lock, kept, NOW, lambda _: first) == (first, NOW)
    other = Audit(99)
    assert recent_audit(lock, kept, NOW + after, lambda _: other) == ((other, NOW + after) if again else (first, NOW))


def test_an_audit_of_an_earlier_version_is_taken_over_and_other_exceptions_are_not(lock: Path, tmp_path: Path) -> None:
    kept = tmp_path / "audit.json"
    recent_audit(lock, kept, NOW, lambda _: Audit(3))
    stored = json.loads(kept.read_text())
    del stored["audit"]["accepted"]
    kept.write_text(json.dumps(stored))
    assert recent_audit(lock, kept, NOW, lambda _: Audit(4)) == (Audit(3), NOW)
    (tmp_path / ACCEPTED).write_text(ACCEPTING, encoding="utf-8")
    assert recent_audit(lock, kept, NOW, lambda _: Audit(4)) == (Audit(4), NOW)


def test_another_lock_is_audited_at_once(lock: Path, tmp_path: Path) -> None:
    recent_audit(lock, tmp_path / "audit.json", NOW, lambda _: Audit(3))
    lock.write_text(LOCK.replace("2.4.6", "2.4.7"), encoding="utf-8")
    assert recent_audit(lock, tmp_path / "audit.json", NOW, lambda _: Audit(4)) == (Audit(4), NOW)
