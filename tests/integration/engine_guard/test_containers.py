"""Which containers the guard lets be created: those of runs, of the gateway and of the model service."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.deploy.docker import gateway as gateway_module
from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.docker.gateway import GatewayDown, HaproxyGateway
from mlops_assets.deploy.docker.servers import DockerServers
from mlops_assets.deploy.server_settings import ServerSettings
from mlops_assets.team_server.instance import rendered
from tests.integration.engine_guard.fake_engine import (
    DIGEST,
    GATEWAY,
    OF_RUN,
    PORT,
    PROJECT,
    REPOSITORY,
    RUNS,
    TMP,
    USER,
    FakeEngine,
    create,
    gateway,
    run,
    service,
)
from tests.repository import ROOT


def test_what_runs_and_the_service_ask_for_is_built_anew(client: httpx.Client, engine: FakeEngine, clone: Path) -> None:
    for wish, name in (
        (run(clone), ""),
        (gateway(clone), "mlops-8099-gateway"),
        (service(clone), "mlops-8099-1a2b-3c"),
    ):
        reply = create(client, wish, name)
        assert reply.status_code == 200, reply.text
        method, path, headers, body = engine.asked[-1]
        assert (method, path) == ("POST", f"/containers/create?name={name}" if name else "/containers/create")
        assert headers["content-type"] == "application/json"
        sent = json.loads(body)
        assert sent["HostConfig"] == wish["HostConfig"]
        assert sent["User"] == ("10001:10001" if wish["Image"].startswith(REPOSITORY) else USER)
        assert "Volumes" not in sent


def test_the_launcher_and_the_deployer_ask_for_nothing_else(
    client: httpx.Client, engine: FakeEngine, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{client.base_url.port}")
    monkeypatch.setattr(gateway_module, "_READY_S", 0.2)
    monkeypatch.setattr(os, "getuid", lambda: 23456)
    monkeypatch.setattr(os, "getgid", lambda: 23456)
    environ = {"CLONE": str(clone), "COMPOSE_PROJECT_NAME": PROJECT, "ORCHESTRATOR_IMAGE": RUNS, "STACK_UID": "23456",
               "STACK_GID": "23456", "RUN_MEMORY": "8g", "RUN_CPUS": "1.5"}  # fmt: skip
    template = (ROOT / "stack" / "dagster.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(rendered(template, environ))["run_launcher"]["config"]
    launched = docker.DockerClient(f"tcp://127.0.0.1:{client.base_url.port}").containers.create(
        image=config["image"], command=["true"], detach=True, environment={"A": "1"}, network=config["networks"][0],
        labels={**config["container_kwargs"].pop("labels"), "dagster/run_id": "x", "dagster/job_name": "j"},
        **{key: value for key, value in config["container_kwargs"].items() if key != "stop_timeout"},
    )  # fmt: skip
    for network in config["networks"][1:]:
        launched.client.networks.get(network).connect(launched)
    launched.start()
    launched.client.close()
    release = SimpleNamespace(version="0fb1338ea30f", wants_gpu=True, model=clone)
    with DockerEngine() as deployer:
        service = f"mlops-{PORT}"
        haproxy = HaproxyGateway(deployer, service, clone / ".serving/gateway", "127.0.0.1", int(PORT),
                                 network=f"{PROJECT}-service", image=GATEWAY)  # fmt: skip
        with pytest.raises(GatewayDown):  # It was created and started; this engine runs nothing.
            haproxy.ensure()
        shown = clone / ".serving" / "shown"
        image = f"{REPOSITORY}@{DIGEST}"
        settings = ServerSettings(clone / ".serving", {"LOG_TEXTS": "1"})
        DockerServers(deployer, haproxy, service, settings, image=image, shown=shown, inside=True).start(release)
    changes = [f"{method} {path}" for method, path in engine.changes()]
    for change in (
        "POST /containers/create", f"POST /networks/{PROJECT}-engine/connect", f"POST /containers/{'a' * 64}/start",
        f"POST /containers/create?name={service}-gateway", f"POST /containers/create?name={service}-0fb1338ea30f-",
    ):  # fmt: skip
        assert any(found.startswith(change) for found in changes), (change, changes)


HOST_CONFIGS = [
    {"Privileged": True}, {"privileged": True}, {"Privileged": False}, {"Binds": ["/:/host"]},
    {"binds": ["/etc:/etc:ro"]},
    {"Binds": ["/var/run/docker.sock:/s"]}, {"Binds": ["named:/x"]}, {"PidMode": "host"}, {"NetworkMode": "host"},
    {"IpcMode": "host"}, {"UsernsMode": "host"}, {"UTSMode": "host"}, {"CgroupnsMode": "host"},
    {"CapAdd": ["SYS_ADMIN"]},
    {"NetworkMode": "container:x"}, {"NetworkMode": "team-boards"}, {"NetworkMode": ""}, {"CapDrop": []},
    {"CapDrop": None},
    {"Devices": [{"PathOnHost": "/dev/sda"}]}, {"DeviceCgroupRules": ["a *:* rwm"]},
    {"SecurityOpt": ["seccomp=unconfined"]},
    {"SecurityOpt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']}, {"SecurityOpt": []}, {"SecurityOpt": None},
    {"SecurityOpt": ["no-new-privileges", "apparmor=unconfined"]}, {"SecurityOpt": ["no-new-privileges:false"]},
    {"MaskedPaths": []}, {"ReadonlyPaths": []}, {"ReadonlyRootfs": False},
    {"Sysctls": {"x": "y"}},
    {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/x"}]}, {"VolumesFrom": ["x"]}, {"Runtime": "other"},
    {"CgroupParent": "/"}, {"OomKillDisable": True}, {"OomScoreAdj": -1000}, {"GroupAdd": ["999"]},
    {"VolumeDriver": "x"},
    {"PublishAllPorts": True}, {"PortBindings": {"8080/tcp": [{"HostIp": "", "HostPort": "22"}]}},
    {"Tmpfs": {"/etc": "mode=1777"}}, {"Tmpfs": {TMP: "mode=1777,dev,suid"}}, {"Ulimits": [{"Name": "x"}]},
    {"LogConfig": {"Type": "syslog"}}, {"ExtraHosts": ["postgres:10.0.0.1"]}, {"Dns": ["10.0.0.1"]},
    {"Links": ["postgres"]},
    {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["x"]}]}, {"StorageOpt": {"size": "1"}}, {"Memory": "1"},
    {"Memory": -1}, {"Memory": True}, {"PidsLimit": -1}, {"RestartPolicy": {"Name": "unless-stopped"}},
    # Go's JSON takes these letters for s and k.
    {"Bind\u017f": ["/:/x"]}, {"Mas\u212aedPaths": []}, {"Networ\u212aMode": "host"}, {"Securit\u0079Op\u0074s": []},
]  # fmt: skip


@pytest.mark.parametrize("host", HOST_CONFIGS, ids=lambda host: json.dumps(host)[:60])
def test_a_container_that_would_own_the_machine_is_not_made(
    client: httpx.Client, engine: FakeEngine, clone: Path, host: dict[str, Any]
) -> None:
    reply = create(client, run(clone, **host))
    assert reply.status_code == 403
    assert f"HostConfig.{next(iter(host))}" in reply.json()["message"]
    assert engine.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"User": "0:0"}, {"User": "root"}, {"User": "23456:999"}, {"User": ""}, {"Image": "postgres:17"},
        {"Image": f"{REPOSITORY}-not@{DIGEST}"}, {"Image": "x/haproxy:lts"}, {"Labels": {}}, {"Entrypoint": ["sh"]},
        {"Labels": {"mlops.stack": "other"}}, {"Labels": {**OF_RUN, "com.docker.compose.project": PROJECT}},
        {"NetworkingConfig": {"EndpointsConfig": {"team-boards": {}}}}, {"NetworkingConfig": {"host": {}}},
        {"NetworkingConfig": {"EndpointsConfig": {"team-data": {"Aliases": ["postgres"]}}}}, {"Hostname": "postgres"},
        {"NetworkingConfig": {"EndpointsConfig": {"team-data": {"IPAMConfig": {"IPv4Address": "x"}}}}}, {"image": RUNS},
        {"MacAddress": "02:42:ac:11:00:02"}, {"ExposedPorts": {"22/tcp": {}}}, {"Healthcheck": {"Test": ["CMD", "x"]}},
        {"hostconfig": {"Privileged": True}}, {"Ho\u017ftConfig": {"Privileged": True}}, {"HostConfig": None},
        {"Env": [{"A": 1}]}, {"Cmd": "sh -c x"}, {"Tty": True}, {"Shell": ["x"]}, {"OnBuild": ["x"]},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)  # fmt: skip
def test_a_container_of_another_kind_is_not_made(
    client: httpx.Client, engine: FakeEngine, clone: Path, changes: dict[str, Any]
) -> None:
    assert create(client, {**run(clone), **changes}).status_code == 403
    assert engine.asked == []


def test_each_kind_of_container_has_its_own_folder_name_and_port(
    client: httpx.Client, engine: FakeEngine, clone: Path
) -> None:
    whole = {"Binds": [f"{clone}:{clone}"]}
    for wish, name in (
        (run(clone), "postgres"),
        (gateway(clone), "mlops-8099-other"),
        (gateway(clone), ""),
        (service(clone), "postgres"),
        ({**gateway(clone), "HostConfig": {**gateway(clone)["HostConfig"], **whole}}, "mlops-8099-gateway"),
        ({**service(clone), "HostConfig": {**service(clone)["HostConfig"], **whole}}, "mlops-8099-x"),
        ({**service(clone), "User": "0:0"}, "mlops-8099-x"),
        ({**run(clone), "HostConfig": {**run(clone)["HostConfig"],
         "DeviceRequests": service(clone)["HostConfig"]["DeviceRequests"]}}, ""),
    ):  # fmt: skip
        assert create(client, wish, name).status_code == 403, (wish["Image"], name)
    assert engine.asked == []


def test_no_path_and_no_link_leads_out_of_the_clone(client: httpx.Client, engine: FakeEngine, clone: Path) -> None:
    for bind in (f"{clone}/..:/x", f"{clone}/../..:{clone}", f"{clone}-other:/x", f"{clone}", "/",
                 f"{clone}/./:{clone}", f"{clone}:{clone}:rshared", f"{clone}/.serving:/x"):  # fmt: skip
        assert create(client, run(clone, Binds=[f"{clone}:{clone}", bind])).status_code == 403, bind
    shown = clone / ".serving" / "shown"
    shown.rmdir()
    try:
        assert create(client, service(clone), "mlops-8099-x").status_code == 403, "the engine would make it as root"
        shown.symlink_to("/etc")
        assert create(client, service(clone), "mlops-8099-x").status_code == 403
        engine.binds = [f"{shown}:/shown:ro"]
        assert client.post(f"/containers/{'b' * 64}/start").status_code == 403, "it became a link after the creation"
        assert engine.changes() == []
    finally:
        shown.unlink()
        shown.mkdir()
    assert client.post(f"/containers/{'b' * 64}/start").status_code == 200


def test_no_spelling_hides_a_wish(client: httpx.Client, engine: FakeEngine, clone: Path) -> None:
    plain = json.dumps(run(clone))
    for body in (
        plain.replace('"HostConfig"', '"HostConfig":{"Privileged":true},"HostConfig"'),
        plain.replace('"Binds": [', '"Binds":["/:/x"],"Binds": ['),
        plain.replace('"Init"', '"\\u0050rivileged"'),
        plain + '{"Privileged":true}',
        plain.replace('"Init"', '"\\ud800"'),
        plain.replace('"Init"', '"\\nWARNING "'),
        "[" * 100_000,
        "\ufeff" + plain,
        plain.encode().replace(b'"x"', b'"\xff"'),
        plain.replace("1024", "NaN"),
        plain.replace('"true"', '"' + "y" * 200_000 + '"'),
        "", "null", "[]",
    ):  # fmt: skip
        reply = create(client, body)
        assert reply.status_code == 403, body[:200]
        assert reply.json()["message"].isprintable()
    chunked = client.post("/containers/create", content=iter([b'{"Image":"x",', b'"HostConfig":{"Privileged":true}}']))
    assert chunked.status_code == 403
    assert engine.asked == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from([*(key for host in HOST_CONFIGS for key in host), "Image", "User", "HostConfig"]) | st.text()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(inside=st.booleans(), key=KEYS, value=ANYTHING)
def test_whatever_is_added_the_engine_gets_what_a_run_has_or_nothing(
    client: httpx.Client, engine: FakeEngine, clone: Path, inside: bool, key: str, value: Any
) -> None:
    engine.asked.clear()
    wish = run(clone, **({key: value} if inside else {}))
    create(client, wish if inside else {**wish, key: value})
    for _, _, _, body in engine.asked:
        sent = json.loads(body)
        usual = run(clone)
        assert sent["HostConfig"].keys() <= {*usual["HostConfig"], "PortBindings", "DeviceRequests"}
        for kept in ("ReadonlyRootfs", "CapDrop", "SecurityOpt", "NetworkMode"):
            assert sent["HostConfig"][kept] == usual["HostConfig"][kept]
        assert set(sent["HostConfig"].get("Binds", [])) <= set(usual["HostConfig"]["Binds"])
        assert (sent["Image"], sent["User"]) == (RUNS, USER)
