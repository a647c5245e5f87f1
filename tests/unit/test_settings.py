"""What the environment and params.yaml may say, and how a bad value is refused."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from mlops_assets.failures import BadSetting
from mlops_assets.settings import FOR_THE_SERVER, Settings, child_environment

PROJECT = Path(__file__).parents[2]
PARAMS = {"apps": ["com.valar.pintu"], "source": "sample", "labels": "binary", "first_month": "2016-01"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, **PARAMS)
    return tmp_path


def write(root: Path, **params: object) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def test_an_empty_environment_is_the_embedded_default(root: Path) -> None:
    settings = Settings.load({}, root)
    assert (settings.source, settings.port, settings.apps) == ("sample", 8080, ("com.valar.pintu",))
    assert not settings.force_retrain
    assert settings.dvc_remote_url is None


def test_a_file_of_reviews_implies_the_source_and_app_adds_one(root: Path) -> None:
    settings = Settings.load({"REVIEWS": "a.csv,b.csv", "APP": "com.gojek.app"}, root)
    assert settings.source == "file"
    assert [path.name for path in settings.reviews] == ["a.csv", "b.csv"]
    assert settings.apps == ("com.valar.pintu", "com.gojek.app")
    assert settings.only_app == "com.gojek.app"


def test_names_of_files_may_have_spaces_around_their_commas(root: Path) -> None:
    settings = Settings.load({"REVIEWS": " a.csv , my reviews.csv, "}, root)
    assert [path.name for path in settings.reviews] == ["a.csv", "my reviews.csv"]


def test_a_person_says_the_order_of_dates_and_which_app_a_name_is(root: Path) -> None:
    write(root, **PARAMS, app_names={"BRImo": "id.co.bri.brimo"})
    settings = Settings.load({"DATES": "month-first"}, root)
    assert settings.date_order == "month-first"
    assert dict(settings.app_names) == {"BRImo": "id.co.bri.brimo"}
    with pytest.raises(BadSetting, match="DATES must be one of day-first, month-first, got 'us'"):
        Settings.load({"DATES": "us"}, root)
    for names, said in (
        ({"BRImo": "BRImo"}, "app_names: BRImo must be a package name"),
        (["BRImo"], "must be a mapping of names"),
    ):
        write(root, **PARAMS, app_names=names)
        with pytest.raises(BadSetting, match=said):
            Settings.load({}, root)


def test_the_clock_is_utc_whatever_the_zone_it_was_given_in(root: Path) -> None:
    assert Settings.load({"NOW": "2026-01-31T07:00:00+07:00"}, root).now() == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("target", ["", "auto", "docker"])
def test_a_gpu_is_target_docker_with_a_lock_of_its_own(root: Path, target: str) -> None:
    (root / "locks").mkdir()
    locks = {variant: root / "locks" / name for variant, name in (("cpu", "serving.txt"), ("gpu", "serving-gpu.txt"))}
    write(root, **PARAMS, bert={"serve": "fp32"})
    for variant, lock in locks.items():
        settings = Settings.load({"IMAGE_VARIANT": variant, "DEPLOY_TARGET": target}, root)
        assert settings.serving_lock is None
        lock.touch()
        assert settings.serving_lock == lock
    assert (settings.image_variant, settings.deploy_target) == ("gpu", "docker")


@pytest.mark.parametrize(
    ("said", "zone"), [("", None), ("WIB", "Asia/Jakarta"), ("wita", "Asia/Makassar"), ("Asia/Tokyo", "Asia/Tokyo")]
)
def test_a_time_zone_is_named_as_people_name_it(root, said, zone) -> None:
    assert Settings.load({"TIME_ZONE": said}, root).time_zone == zone


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PORT": "80a"}, "PORT must be a whole number from 1 to 65535, got '80a'"),
        ({"PORT": "65536"}, "got '65536'"),
        ({"FORCE_RETRAIN": "maybe"}, "FORCE_RETRAIN must be 1 or 0, got 'maybe'"),
        ({"SOURCE": "web"}, "SOURCE must be one of sample, file, play_store, got 'web'"),
        ({"TIME_ZONE": "Jakarta"}, "TIME_ZONE must be a zone such as Asia/Jakarta, or WIB, WITA or WIT, got 'Jakarta'"),
        ({"TIME_ZONE": "../etc"}, "TIME_ZONE must be a zone"),
        ({"SOURCE": "sample", "REVIEWS": "a.csv"}, "leave one of the two out"),
        ({"FROM": "2026-13"}, "FROM must be a month as YYYY-MM, got '2026-13'"),
        ({"NOW": "yesterday"}, "NOW must be an ISO time"),
        ({"APP": "not an app"}, "APP must be a package name"),
        ({"DEPLOY_TARGET": "cloud"}, "DEPLOY_TARGET must be one of"),
        ({"PLAY_STORE_URL": "play"}, "PLAY_STORE_URL must begin with https:// or http:// and name a host, got 'play'"),
        ({"DAGSTER_URL": "http:///"}, "DAGSTER_URL must begin with"),
        ({"HOST_ADDRESS": "everywhere"}, "HOST_ADDRESS must be localhost or an IP address"),
    ],
)
def test_a_bad_variable_is_refused_with_its_name_its_rule_and_its_value(
    root: Path, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.load(environ, root)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"apps": []}, "apps must be a list of at least one package name"),
        ({"apps": ["-x"]}, "must be a package name"),
        ({"labels": "stars"}, "labels must be one of binary, ternary, got 'stars'"),
        ({"source": "web"}, "source must be one of"),
        ({"first_month": "long ago"}, "first_month must be a month"),
        ({"lables": "binary"}, "lables is no parameter"),
        ({"bert": 3}, "bert must be a mapping, got 3"),
    ],
)
def test_a_bad_parameter_is_refused(root: Path, change: dict[str, object], said: str) -> None:
    write(root, **{**PARAMS, **change})
    with pytest.raises(BadSetting, match=said):
        Settings.load({}, root)


def test_a_missing_or_broken_params_file_says_how_to_get_it_back(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="git checkout -- params"):
        Settings.load({}, tmp_path)
    (tmp_path / "params.yaml").write_text("apps: [", encoding="utf-8")
    with pytest.raises(BadSetting, match="cannot be read"):
        Settings.load({}, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("validation: {sample: 500}\nvalidation: {}\n", "validation stands twice, in line 2 and in line 3"),
        ("validation:\n  sample: 500\n  sample: 600\n", "sample stands twice, in line 3 and in line 4"),
        ("validation: {positive_share_since: {com.example.app: 2026-02-30}}\n", "day is out of range"),
    ],
)
def test_a_name_that_stands_twice_or_a_day_that_does_not_exist_is_refused(root: Path, text: str, said: str) -> None:
    """A line pasted beside the old one would be lost without a word, since YAML's last one counts."""
    (root / "params.yaml").write_text("apps: [com.valar.pintu]\n" + text, encoding="utf-8")
    with pytest.raises(BadSetting, match=said) as refused:
        Settings.load({}, root)
    assert "\n" not in str(refused.value)


def test_the_environment_wins_over_the_file_of_variables(root: Path) -> None:
    (root / ".env").write_text("PORT=9000\nSKIP_DEPLOY=1\n", encoding="utf-8")
    settings = Settings.load({"PORT": "9001"}, root)
    assert (settings.port, settings.skip_deploy) == (9001, True)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NOTIFY_URL", "NOTIFY_URLS"),
        ("NOTFIY_URLS", "NOTIFY_URLS"),
        ("notify_urls", "NOTIFY_URLS"),
        ("HEARTBEAT_URLS", "HEARTBEAT_URL"),
        ("GIT_BRANCHES", "GIT_BRANCH"),
        ("API_KEY", "API_KEYS"),
        ("POSTGRES_PASS", "POSTGRES_PASSWORD"),
        ("POSTGRES_PASSWD", "POSTGRES_PASSWORD"),
        ("DVC_REMOTE", "DVC_REMOTE_URL"),
        ("REVIEW", "REVIEWS"),
        ("FORM", "FROM"),
        ("PROT", "PORT"),
        ("UI_PORTS", "UI_PORT"),
        ("OPERATE_LOGIN", "OPERATE_LOGINS"),
        ("GITHUB_TOKENS", "GITHUB_TOKEN"),
    ],
)
@pytest.mark.parametrize("value", ["", "=", "=x"])
def test_a_misspelt_variable_in_the_file_is_refused_with_the_nearest_name(
    root: Path, name: str, meant: str, value: str
) -> None:
    (root / ".env").write_text(f"PORT=9000\n{name}{value}\n", encoding="utf-8")
    with pytest.raises(BadSetting, match=rf"^\.env: {name} is no variable, the nearest is {meant}: correct it"):
        Settings.load({}, root)


@pytest.mark.parametrize("line", ["SKIP_DEPLOY: 1", "SKIP_DEPLOY 1", "export SKIP_DEPLOY='1", 'SKIP_DEPLOY="1'])
def test_a_line_of_the_file_that_cannot_be_read_is_refused_by_its_number(root: Path, line: str) -> None:
    (root / ".env").write_text(f"PORT=9000\n{line}\n", encoding="utf-8")
    with pytest.raises(BadSetting, match=r"^\.env, line 2: SKIP_DEPLOY is not followed by =value with closed quotes"):
        Settings.load({}, root)


def test_a_file_of_variables_from_a_windows_editor_is_read(root: Path) -> None:
    (root / ".env").write_bytes(b"\xef\xbb\xbfPORT=9000\r\nexport SKIP_DEPLOY = 1\r\n")
    settings = Settings.load({}, root)
    assert (settings.port, settings.skip_deploy) == (9000, True)


def test_names_of_other_programs_pass_in_the_file_and_any_in_the_environment(root: Path) -> None:
    foreign = (
        "AWS_ACCESS_KEY_ID AWS_PROFILE COMPOSE_FILE COMPOSE_PROFILES DOCKER_HOST HTTP_PROXY https_proxy no_proxy "
        "HF_TOKEN HF_HUB_OFFLINE REVIEWER DB_PORT HOST USER TZ LANG DEBUG APP_ENV API LOG_LEVEL SMTP_PORT "
        "POSTGRES_INITDB_ARGS POSTGRES_VERSION PGDATA MLFLOW_TRACKING_URI SLACK_TOKEN NODE_ENV EDITOR"
    )
    names = [*foreign.split(), *_listed(), *FOR_THE_SERVER]
    (root / ".env").write_text("".join(f"{name}=\n" for name in names) + "set -a\n. ./other.env\n", encoding="utf-8")
    Settings.load({"NOTIFY_URL": "x", "DEPLOY_TARGET": "process"}, root)


def _listed() -> list[str]:
    """The variables of the file of examples."""
    return re.findall(r"(?m)^#([A-Z_]+)=", (PROJECT / ".env.example").read_text(encoding="utf-8"))


def test_the_file_of_examples_lists_every_variable_that_is_read() -> None:
    read = re.findall(
        r"""env\.\w+\(\s*"([A-Z_]+)\"""", (PROJECT / "mlops_assets" / "settings.py").read_text(encoding="utf-8")
    )
    assert len(read) > 20
    assert {*read, *FOR_THE_SERVER} <= set(_listed())


def test_a_secret_does_not_show_in_the_settings(root: Path) -> None:
    assert "hush" not in repr(Settings.load({"AUTHOR_KEY": "hush"}, root))


def test_another_machine_gets_the_settings_without_the_secrets(root: Path) -> None:
    given = Settings.load({"AUTHOR_KEY": "hush", "API_KEYS": "me:hush", "REVIEWS": "/reviews.csv"}, root)
    sent = given.json_without_secrets()
    assert "hush" not in sent
    received = Settings.model_validate_json(sent)
    assert (received.reviews, received.sections, received.triggers) == (given.reviews, given.sections, given.triggers)
    assert received == given.model_copy(update={"author_key": None, "server": {}})


@pytest.mark.parametrize("address", ["head:6379", "ray://head", "auto"])
def test_the_address_of_a_ray_cluster_is_that_of_its_client_server(root: Path, address: str) -> None:
    assert Settings.load({"RAY_ADDRESS": "ray://head:10001"}, root).ray_address == "ray://head:10001"
    with pytest.raises(BadSetting, match=f"RAY_ADDRESS must be .* such as ray://head:10001, got '{address}'"):
        Settings.load({"RAY_ADDRESS": address}, root)


def test_commands_find_the_service_where_the_last_run_put_it(root: Path) -> None:
    assert Settings.load({}, root).where_it_last_ran().port == 8080
    (root / ".serving").mkdir()
    Settings.load({}, root).port_file.write_text("8090\n", encoding="utf-8")
    assert Settings.load({}, root).where_it_last_ran().port == 8090
    assert Settings.load({"PORT": "8080"}, root).where_it_last_ran().port == 8080
    assert Settings.load({}, root).port == 8080


def test_credentials_and_the_ssh_command_in_the_env_file_reach_git_and_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(PROJECT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / ".env").write_text("AWS_PROFILE=theirs\nGIT_SSH_COMMAND=ssh -i key\nHOME=/nowhere\nGIT_DIR=/nowhere\n")
    for name in ("AWS_PROFILE", "GIT_SSH_COMMAND"):
        monkeypatch.setenv(name, "x")  # what is set here is put back after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/me")
    Settings.load(root=tmp_path)
    given = child_environment()
    assert (given["AWS_PROFILE"], given["GIT_SSH_COMMAND"], given["HOME"]) == ("theirs", "ssh -i key", "/home/me")
    assert "GIT_DIR" not in given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MONGO_URL": "postgres://ana:s3cret@db", "MONGO_DB": "reviews"}, "MONGO_URL must begin with mongodb://"),
        (
            {"MLFLOW_TRACKING_URI": "ftp://ana:s3cret@db"},
            "MLFLOW_TRACKING_URI must be a folder, or begin with https://",
        ),
        ({"MONGO_URL": "mongodb://ana:s3cret@db"}, "MONGO_DB must then name a database"),
        ({"MONGO_URL": "mongodb://ana:s3cret@db", "MONGO_DB": "s3cret/x"}, "letters, digits, _ and -"),
    ],
)
def test_a_mirror_that_cannot_be_is_refused_without_its_password(given: dict[str, str], said: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(said)) as refused:
        Settings.load(given, PROJECT)
    assert "s3cret" not in str(refused.value)


def test_a_mongo_database_without_a_server_is_no_mirror() -> None:
    settings = Settings.load({"MONGO_DB": "reviews"}, PROJECT)
    assert (settings.mongo_url, settings.mongo_db) == (None, "")


@pytest.mark.parametrize("given", ["~/runs", "file://{home}/runs", "{home}/runs"])
def test_a_folder_for_mlflow_may_be_named_in_any_way(given: str) -> None:
    found = Settings.load({"MLFLOW_TRACKING_URI": given.format(home=Path.home())}, PROJECT).mlflow_uri
    assert found is not None
    assert found.get_secret_value() == str(Path.home() / "runs")
