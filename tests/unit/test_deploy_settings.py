"""What the environment says about the deployment, and that its secrets show nowhere."""

import hashlib

import pytest

from mlops_assets import outside
from mlops_assets.failures import BadSetting
from mlops_assets.serving.options import BadOption
from mlops_assets.settings import Settings
from tests.repository import ROOT

KEYS = f"web:{'0' * 64},deployer:{hashlib.sha256(b'k3y').hexdigest()}"


def load(**environ: str) -> Settings:
    return Settings.load(environ, ROOT)


def test_images_go_to_this_machines_registry_without_a_login_by_default() -> None:
    settings = load()
    assert (settings.image_registry, settings.registry_user, settings.registry_password) == ("localhost:5000", "", None)
    assert settings.deploy_target == "auto"


def test_another_host_runs_images_and_gets_a_registry_only_by_name() -> None:
    away = load(DEPLOY_HOST="ssh://me@host.example:2222")
    assert (away.deploy_target, away.image_registry) == ("docker", "")
    assert load(DEPLOY_HOST="ssh://me@host.example", IMAGE_REGISTRY="ghcr.io/me").image_registry == "ghcr.io/me"


@pytest.mark.parametrize(
    ("host", "address", "url"),
    [
        ("ssh://me@host.example:2222", "127.0.0.1", "http://host.example:8080"),
        ("ssh://host.example/run/user/7/docker.sock", "0.0.0.0", "http://host.example:8080"),  # noqa: S104
        ("ssh://me@host.example", "10.0.0.7", "http://10.0.0.7:8080"),
        ("", "127.0.0.1", "http://127.0.0.1:8080"),
    ],
)
def test_people_find_the_service_on_the_host_that_it_is_on(host: str, address: str, url: str) -> None:
    keys = {"API_KEYS": KEYS, "DEPLOY_KEY": "k3y"} if address != "127.0.0.1" else {}
    settings = load(DEPLOY_HOST=host, HOST_ADDRESS=address, DEPLOY_TARGET="docker", **keys)
    assert outside.service(settings).url == url


@pytest.mark.parametrize(
    ("environ", "user", "password"),
    [
        ({"IMAGE_REGISTRY": "ghcr.io/someone", "GITHUB_TOKEN": "t"}, "someone", "t"),
        (
            {
                "IMAGE_REGISTRY": "ghcr.io/someone",
                "GITHUB_TOKEN": "t",
                "REGISTRY_USER": "me",
                "REGISTRY_PASSWORD": "p",
            },
            "me",
            "p",
        ),
        ({"IMAGE_REGISTRY": "registry.example:443/team", "GITHUB_TOKEN": "t"}, "", None),
        ({"REGISTRY_USER": "me", "REGISTRY_PASSWORD": "p"}, "me", "p"),
    ],
)
def test_the_github_token_serves_on_ghcr_alone(environ: dict[str, str], user: str, password: str | None) -> None:
    settings = load(**environ)
    given = settings.registry_password.get_secret_value() if settings.registry_password else None
    assert (settings.registry_user, given) == (user, password)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"IMAGE_REGISTRY": "https://ghcr.io"}, "IMAGE_REGISTRY must be host"),
        ({"REGISTRY_PASSWORD": "p"}, "REGISTRY_USER is empty"),
        ({"DEPLOY_TARGET": "kubernetes"}, "DEPLOY_TARGET must be one of"),
        ({"DEPLOY_HOST": "me@host.example"}, "DEPLOY_HOST must be ssh://user@host.*got 'me@host.example'"),
        ({"DEPLOY_HOST": "ssh://-oProxyCommand=evil"}, "DEPLOY_HOST must be ssh://user@host"),
        ({"DEPLOY_HOST": "ssh://me@host", "DEPLOY_TARGET": "process"}, "leave one of the two out"),
        ({"DEPLOY_HOST": "ssh://me@host", "SERVICE_NETWORK": "stack"}, "not for a team's server"),
        ({"IMAGE_VARIANT": "tpu"}, "IMAGE_VARIANT must be one of cpu, gpu, got 'tpu'"),
        ({"IMAGE_VARIANT": "gpu", "DEPLOY_TARGET": "process"}, "set DEPLOY_TARGET=docker, or IMAGE_VARIANT=cpu"),
        ({"IMAGE_VARIANT": "gpu"}, "bert.serve must be fp32 where IMAGE_VARIANT is gpu, got 'int8'"),
    ],
)
def test_nonsense_is_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        load(**environ)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MAX_TEXTS": "4001"}, "MAX_TEXTS"),
        ({"DEADLINE_S": "soon"}, "DEADLINE_S"),
        ({"HOST_ADDRESS": "0.0.0.0"}, "API_KEYS is empty and the service would listen on"),  # noqa: S104
        ({"API_KEYS": KEYS}, "DEPLOY_KEY is empty"),
        ({"API_KEYS": KEYS, "DEPLOY_KEY": "the old key"}, "DEPLOY_KEY is none of its keys"),
    ],
)
def test_what_the_server_would_refuse_is_refused_before_anything_runs(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadOption, match=said) as refused:
        outside.service(load(**environ))
    assert "the old key" not in str(refused.value)
    outside.service(load(API_KEYS=KEYS, DEPLOY_KEY="k3y"))


def test_secrets_show_nowhere_and_the_server_gets_its_own_alone() -> None:
    secret = "do-not-show"
    settings = load(
        REGISTRY_USER="me",
        REGISTRY_PASSWORD=secret,
        DEPLOY_KEY=secret,
        POSTGRES_HOST="db",
        POSTGRES_PASSWORD=secret,
        AUTHOR_KEY=secret,
    )
    assert secret not in repr(settings)
    assert secret not in settings.model_dump_json(exclude={"sections", "server"})
    assert set(settings.server) == {"POSTGRES_HOST", "POSTGRES_PASSWORD"}


def test_the_server_logs_in_to_the_prediction_log_as_a_user_of_its_own() -> None:
    settings = load(
        DEPLOY_TARGET="docker", POSTGRES_HOST="db", POSTGRES_USER="owner", POSTGRES_PASSWORD="owner's",
        PREDICTION_LOG_USER="log", PREDICTION_LOG_PASSWORD="log's",
    )  # fmt: skip
    environment = settings.server_environment()
    assert (environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"]) == ("log", "log's")
    assert "owner" not in repr(environment)
    assert settings.server["POSTGRES_USER"].get_secret_value() == "owner", "the dashboards' tables need the owner"
