"""The port of `make ui`: checked before anything starts, and the same in every address that is printed."""

import os
import socket
from collections.abc import Iterator

import pytest

from mlops_assets.cli import ui
from tests.user_clone import free_port, make_clone, settings_of


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))  # noqa: S104  as a program that listens everywhere
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_and_the_variable(tmp_path, taken) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"), UI_PORT=str(taken))
    with pytest.raises(ui.PortTaken) as raised:
        ui.open_ui(settings)
    message = str(raised.value)
    assert message.startswith(f"port {taken} for the UI is held by another program (")
    assert f"process {os.getpid()})" in message
    assert f"make ui UI_PORT={taken + 1}" in message
    assert not settings.instance_folder.exists()


def test_a_free_port_goes_to_dagster_and_into_every_address(tmp_path, monkeypatch, capsys) -> None:
    port = free_port()
    settings = settings_of(make_clone(tmp_path / "clone"), UI_PORT=str(port))
    started = []
    monkeypatch.setattr(os, "execve", lambda *given: started.append(given))
    monkeypatch.setattr(ui, "prepare", lambda _settings: None)
    ui.open_ui(settings)
    [(_, command, environment)] = started
    assert command[3:6] == ["-m", "mlops_assets.cli.webserver", "dev"]
    assert command[-4:] == ["--host", "127.0.0.1", "--port", str(port)]
    assert environment["DAGSTER_HOME"] == str(settings.instance_folder)
    url = f"http://127.0.0.1:{port}"
    assert (settings.dagster_url, settings.reload_url) == (url, url)
    assert url in capsys.readouterr().out


def test_an_address_of_its_own_wins_over_the_port(tmp_path) -> None:
    clone = make_clone(tmp_path / "clone")
    settings = settings_of(clone, UI_PORT="3001", DAGSTER_URL="https://team.example/dagster")
    assert (settings.ui_port, settings.dagster_url) == (3001, "https://team.example/dagster")
    assert settings_of(clone).dagster_url == "http://127.0.0.1:3000"
