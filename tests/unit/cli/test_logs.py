"""`make logs` shows what serves, or the server that served before, and says why it cannot."""

from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.cli.logs import show_log
from mlops_assets.deploy.kept_logs import keep_log, kept_logs
from mlops_assets.failures import PermanentFailure
from tests.fakes.service import FakeBackend, Server, fake_service
from tests.user_clone import make_clone, settings_of


def test_the_log_of_what_serves_is_shown_and_that_of_the_one_before_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    service = fake_service(settings.service_folder)
    monkeypatch.setattr(outside, "service", lambda _settings: service)
    with pytest.raises(PermanentFailure, match="the service has no log: nothing serves"):
        show_log(settings, "", follow=False)
    with pytest.raises(PermanentFailure, match="no server has ended here yet"):
        show_log(settings, "previous", follow=False)
    with pytest.raises(PermanentFailure, match="WHAT must be service, requests, gateway or previous, got 'door'"):
        show_log(settings, "door", follow=False)
    keep_log(settings.service_folder, "first", "a traceback\n")
    (backend,) = service._backends
    assert isinstance(backend, FakeBackend)
    backend.serving = Server(None)  # type: ignore[arg-type]  # nobody asks it
    assert show_log(settings, "service", follow=False) == 0
    assert show_log(settings, "previous", follow=False) == 0
    said = capsys.readouterr().out
    assert said.startswith("last line of the log\nfirst, which ended ")
    assert said.endswith("a traceback\n")


def test_the_last_lines_of_the_ten_newest_are_kept(tmp_path: Path) -> None:
    for number in range(12):
        keep_log(tmp_path, f"server-{number:02d}", "".join(f"line {line}\n" for line in range(3_000)))
    keep_log(tmp_path, "silent", " \n")
    keep_log(tmp_path, "server-11", "said after it was kept\n")
    kept = kept_logs(tmp_path)
    assert sorted(path.stem for path in kept) == [f"server-{number:02d}" for number in range(2, 12)]
    lines = kept[0].read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[0], lines[-1]) == (2_000, "line 1000", "line 2999")
    assert kept[0].stat().st_mode & 0o777 == 0o600
