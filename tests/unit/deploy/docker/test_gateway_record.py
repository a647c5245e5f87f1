"""The gateway's configuration follows the record of what is live, also after a deployment that ended in mid-switch."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops_assets.deploy.docker import gateway_config
from mlops_assets.deploy.docker.gateway import HaproxyGateway
from mlops_assets.deploy.docker.machine import HERE


def test_a_configuration_that_ran_ahead_of_the_record_is_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses: dict[gateway_config.Slot, str] = {"blue": "10.0.0.10", "green": "10.0.0.11"}
    (tmp_path / "haproxy.cfg").write_text(gateway_config.configuration(addresses, "green"))
    (tmp_path / "live.json").write_text(json.dumps({"slot": "blue"}))
    labels = {"mlops.configuration": gateway_config.digest()}
    running = SimpleNamespace(status="running", labels=labels)
    gateway = HaproxyGateway(SimpleNamespace(machine=HERE), "p", tmp_path, "127.0.0.1", 1)  # type: ignore[arg-type]  # a stand-in
    for name, stands_in in {
        "_ensure_network": lambda: None,
        "_container": lambda: running,
        "_refuse_foreign": lambda _container: None,
        "_publishes_right": lambda _container: True,
        "_obeys": lambda _container: True,
        "_prefix": lambda: "10.0.0",
        "_wait": lambda: None,
        "command": lambda _line: "",
    }.items():
        monkeypatch.setattr(gateway, name, stands_in)
    gateway.ensure()
    assert (tmp_path / "haproxy.cfg").read_text() == gateway_config.configuration(addresses, "blue")
