"""The only reader of the environment and of params.yaml: frozen, typed, refuses nonsense at once."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar, get_args

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, SecretStr, field_serializer

from mlops_assets.deploy_settings import DeployTarget, ImageVariant, deployment_settings, registry_settings
from mlops_assets.failures import BadSetting
from mlops_assets.params.choices import APP_PATTERN, MONTH_PATTERN, LabelRule, Source
from mlops_assets.params.file import read_params
from mlops_assets.params.operations import Triggers
from mlops_assets.params.section import Section
from mlops_assets.variables import Variables

DateOrder = Literal["day-first", "month-first"]


FOR_THE_SERVER = (
    "API_KEYS", "ALLOW_ANONYMOUS", "BATCH_TOKENS", "DEADLINE_S", "INFERENCE_WORKERS", "LOG_TEXTS", "MAX_BODY_BYTES",
    "MAX_QUEUE_TEXTS", "MAX_TEXTS", "MAX_TEXT_CHARS", "POSTGRES_DB", "POSTGRES_HOST", "POSTGRES_PASSWORD",
    "POSTGRES_PORT", "POSTGRES_USER", "PREDICTION_LOG", "RATE_LIMIT_BURST", "RATE_LIMIT_PER_S", "SERVICE_MEMORY",
)  # fmt: skip
"""Variables that are handed to the deployed server, which checks them."""

_Section = TypeVar("_Section", bound=Section)


_FOR_CHILDREN = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|TZ|TMPDIR|SSH_AUTH_SOCK|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE"
    r"|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|(AWS|AZURE|GOOGLE|XDG)_\w+"
    r"|SUDO_UID|GIT_(ASKPASS|SSH(_COMMAND|_VARIANT)?|(PROXY_)?SSL_\w+|HTTP_\w+)"
    r"|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|(KEY|VALUE)_\d+)"
)


def child_environment() -> dict[str, str]:
    """What git and DVC get of the process's environment: programs, home, proxies, certificates and cloud credentials.

    Of the names GIT_* only how to reach a server and where a person's settings lie, nothing named DVC_* or PYTHON*:
    such a variable of the caller, as in a git hook, would point them at another repository.
    """
    return {name: value for name, value in os.environ.items() if _FOR_CHILDREN.fullmatch(name)}  # noqa: TID251  read here


def _hand_on(from_file: Mapping[str, str]) -> None:
    """Have the names in `.env` that are for git, DVC (AWS_… and such) and MLflow reach them, as under `dagster dev`."""
    for name, value in from_file.items():
        if _FOR_CHILDREN.fullmatch(name) or name.startswith("MLFLOW_"):
            os.environ.setdefault(name, value)  # noqa: TID251  they read it from there


def whole_environment() -> dict[str, str]:
    """Everything, for the entry point of a container: it becomes another program, which gets the same."""
    return dict(os.environ)  # noqa: TID251  read here


def wait_passively() -> None:
    """Have idle OpenMP threads sleep, unless the environment says otherwise; to be called before torch is loaded.

    Threads that spin while they wait slow a training to a crawl where anything else uses the cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251  libgomp reads it from there


def calm_mlflow(timeout_s: float) -> None:
    """Have MLflow report nothing to its makers and give up soon, unless the environment says otherwise; to be called
    before it is loaded.

    Its own limits are 120 seconds and seven retries a request.
    """
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(timeout_s))),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)  # noqa: TID251  MLflow reads it from there


class Settings(BaseModel):
    """Everything that the environment and params.yaml decide, read once.

    Relative paths in the environment are relative to the working directory; `root` is the clone.

    dvc_program: DVC lives in an environment of its own
    shared_instance: Dagster's instance is the one of DAGSTER_HOME, whose tables are moved before this process starts
    service_network: of the model's containers, where this process is itself in a container on it
    reload_url: where the webserver is told to load the code anew; `dagster_url` is where people find it
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    source: Source
    apps: tuple[str, ...]
    reference_apps: tuple[str, ...] = ()
    extra_app: str | None = None
    first_month: str
    label_rule: LabelRule
    reviews: tuple[Path, ...] = ()
    date_order: DateOrder | None = None
    time_zone: str | None = None
    app_names: Mapping[str, str] = MappingProxyType({})
    from_month: str | None = None
    fixed_now: datetime | None = None
    port: int = 8080
    port_given: bool = False
    force_retrain: bool = False
    skip_deploy: bool = False
    step_pods: Path | None = None
    ray_address: str | None = None
    host: str = "127.0.0.1"
    tls_certificate: Path | None = None
    deploy_target: DeployTarget = "auto"
    deploy_host: str = ""
    image_variant: ImageVariant = "cpu"
    image_registry: str = "localhost:5000"
    haproxy_image: str = "haproxy:lts"
    registry_user: str = ""
    registry_password: SecretStr | None = None
    server: Mapping[str, SecretStr] = MappingProxyType({})
    prediction_log_user: str = ""
    prediction_log_password: SecretStr | None = None
    deploy_key: SecretStr | None = None
    dvc_remote_url: str | None = None
    git_branches: tuple[str, ...] = ("main", "master")
    git_fast_forward: bool = False
    ui_port: int = 3000
    label_port: int = 3001
    dagster_url: str = "http://127.0.0.1:3000"
    reload_url: str = ""
    shared_instance: bool = False
    service_network: str = ""
    dvc_program: Path
    triggers: Triggers = Triggers()
    author_key: SecretStr | None = None
    play_store_url: str = "https://play.google.com"
    notify_urls: tuple[SecretStr, ...] = ()
    heartbeat_url: SecretStr | None = None
    mongo_url: SecretStr | None = None
    mongo_db: str = ""
    mlflow_uri: SecretStr | None = None
    sections: Mapping[str, Mapping[str, Any]]

    def section(self, model: type[_Section]) -> _Section:
        """A section of params.yaml; raises `BadSetting` that names the key, its rule and the value."""
        return model.from_params(self.sections[model.section])

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, root: Path | None = None) -> Self:
        """Settings from `environ` (default: the process's, over `.env` in the clone) and `params.yaml`.

        Raises `BadSetting` with the name, the value, the rule and the next step.
        """
        of_the_process = environ is None
        environ = os.environ if environ is None else environ  # noqa: TID251  the one place that reads it
        root = (root or Path(environ.get("PIPELINE_ROOT") or Path(__file__).parents[1])).resolve()
        written = dotenv_values(root / ".env", encoding="utf-8-sig")
        from_file = {name: value for name, value in written.items() if value is not None}
        if of_the_process:
            _hand_on(from_file)
        env = Variables({**from_file, **environ})
        choices, sections = read_params(root / "params.yaml")
        reviews = tuple(
            Path(part.strip()).expanduser().absolute() for part in env.text("REVIEWS", "").split(",") if part.strip()
        )
        extra_app = env.matching("APP", APP_PATTERN, "a package name such as com.valar.pintu")
        source = env.choice("SOURCE", get_args(Source)) or ("file" if reviews else choices.source)
        if source != "file" and reviews:
            raise BadSetting(f"REVIEWS is set, but SOURCE={source} reads no file: leave one of the two out")
        if extra_app in choices.reference_apps:
            raise BadSetting(f"APP={extra_app} is under reference_apps in params.yaml: leave one of the two out")
        mongo_url, mongo_db = env.mongo()
        ui_port = env.whole("UI_PORT", 3000, 1, 65535)
        ui = f"http://127.0.0.1:{ui_port}"
        settings = cls(
            root=root,
            source=source,
            apps=tuple(dict.fromkeys([*choices.apps, *([extra_app] if extra_app else [])])),
            reference_apps=choices.reference_apps,
            extra_app=extra_app,
            first_month=choices.first_month,
            label_rule=choices.labels,
            reviews=reviews,
            date_order=env.choice("DATES", get_args(DateOrder)),
            time_zone=env.zone("TIME_ZONE"),
            app_names=choices.app_names,
            from_month=env.matching("FROM", MONTH_PATTERN, "a month as YYYY-MM"),
            fixed_now=env.instant("NOW"),
            port=env.whole("PORT", 8080, 1, 65535),
            port_given=bool(env.text("PORT", "")),
            force_retrain=env.flag("FORCE_RETRAIN"),
            skip_deploy=env.flag("SKIP_DEPLOY"),
            step_pods=env.file("STEP_PODS"),
            ray_address=env.matching(
                "RAY_ADDRESS",
                r"ray://[^\s/:]+:\d+",
                "the client server of a Ray cluster's head such as ray://head:10001",
            ),
            host=env.address("HOST_ADDRESS", "127.0.0.1"),
            tls_certificate=env.file("TLS_CERTIFICATE"),
            **deployment_settings(env, sections["bert"]),
            haproxy_image=env.text("HAPROXY_IMAGE", "haproxy:lts"),
            **registry_settings(env),
            server=MappingProxyType({name: value for name in FOR_THE_SERVER if (value := env.secret(name))}),
            prediction_log_user=env.text("PREDICTION_LOG_USER", ""),
            prediction_log_password=env.secret("PREDICTION_LOG_PASSWORD"),
            deploy_key=env.secret("DEPLOY_KEY"),
            dvc_remote_url=env.text("DVC_REMOTE_URL", "") or None,
            git_branches=_branches(env.text("GIT_BRANCH", "main,master")),
            git_fast_forward=env.flag("GIT_FAST_FORWARD"),
            ui_port=ui_port,
            label_port=env.whole("LABEL_PORT", 3001, 1, 65535),
            dagster_url=env.url("DAGSTER_URL", ui),
            reload_url=env.url("DAGSTER_RELOAD_URL", env.text("DAGSTER_URL", ui)),
            shared_instance=env.flag("SHARED_INSTANCE"),
            service_network=env.text("SERVICE_NETWORK", ""),
            dvc_program=Path(env.text("DVC_PROGRAM", str(root / ".venv-dvc" / "bin" / "dvc"))),
            triggers=choices.triggers,
            author_key=env.secret("AUTHOR_KEY"),
            play_store_url=env.url("PLAY_STORE_URL", "https://play.google.com"),
            notify_urls=env.notify_urls("NOTIFY_URLS"),
            heartbeat_url=env.secret_url("HEARTBEAT_URL"),
            mongo_url=mongo_url,
            mongo_db=mongo_db,
            mlflow_uri=env.mlflow(),
            sections=MappingProxyType({name: MappingProxyType(section) for name, section in sections.items()}),
        )
        env.refuse_misspelt(written, FOR_THE_SERVER)
        env.refuse_unread(_unread(root / ".env"), FOR_THE_SERVER)
        return settings

    def where_it_last_ran(self) -> Self:
        """These settings with the port of the last `make run`, unless PORT says otherwise."""
        known = self.port_file.read_text(encoding="utf-8").strip() if self.port_file.is_file() else ""
        return self if self.port_given or not known.isdecimal() else self.model_copy(update={"port": int(known)})

    def now(self) -> datetime:
        """The time in UTC: `NOW` where it is set, else the clock."""
        return self.fixed_now or datetime.now(UTC)

    def json_without_secrets(self) -> str:
        """These settings for a process on another machine (`model_validate_json`): what holds secrets is left out."""
        fields = type(self).model_fields.items()
        unset = {name: field.default for name, field in fields if "SecretStr" in repr(field.annotation)}
        return self.model_copy(update=unset).model_dump_json()

    @field_serializer("app_names", "sections", "server", when_used="json")
    def _plain(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: dict(entry) if isinstance(entry, Mapping) else entry for name, entry in value.items()}

    def server_environment(self) -> dict[str, str]:
        """The variables of the deployed server: `server`, with the login that is its own if there is one."""
        own = {"POSTGRES_USER": SecretStr(self.prediction_log_user)} if self.prediction_log_user else {}
        if own:
            own["POSTGRES_PASSWORD"] = self.prediction_log_password or SecretStr("")
        return {name: value.get_secret_value() for name, value in {**self.server, **own}.items()}

    @property
    def only_app(self) -> str | None:
        """The app of rows that do not name theirs, where just one is possible."""
        return self.extra_app or (self.apps[0] if len(self.apps) == 1 else None)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def instance_folder(self) -> Path:
        """DAGSTER_HOME of the embedded default: run history, summaries, locks."""
        return self.root / ".dagster"

    @property
    def predictions(self) -> Path:
        """What the serving model says of every stored review: a file for each app and month."""
        return self.data / "predictions"

    @property
    def pipeline_clone(self) -> Path:
        return self.root / ".pipeline"

    @property
    def prediction_log(self) -> Path | None:
        """The SQLite file that the server logs predictions to, where it is to use one."""
        given = self.server.get("PREDICTION_LOG")
        return Path(given.get_secret_value()).absolute() if given else None

    @property
    def serving_lock(self) -> Path | None:
        """The server's locked dependencies; none where the package is used without its repository."""
        lock = self.root / "locks" / ("serving-gpu.txt" if self.image_variant == "gpu" else "serving.txt")
        return lock if lock.is_file() else None

    @property
    def service_folder(self) -> Path:
        """State, deployment log and server logs of the service."""
        return self.root / ".serving"

    @property
    def port_file(self) -> Path:
        """The port that the last `make run` used."""
        return self.service_folder / "port"

    def profile(self, dataset_version: str) -> Path:
        """The drift profile of the reviews in a data version."""
        return self.models / "profiles" / f"{dataset_version}.npz"

    @property
    def releases(self) -> Path:
        return self.root / ".releases"


def _unread(path: Path) -> dict[str, int]:
    """The lines of `.env` that are not NAME=value, by the name that they begin with."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig") as stream:
        wrong = [binding.original for binding in parse_stream(stream) if binding.error]
    names = ((re.match(r"\s*(?:export\s+)?(\w*)", original.string), original.line) for original in wrong)
    return {match.group(1): line for match, line in names if match}


def _branches(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if "pipeline" in names:
        raise BadSetting("GIT_BRANCH must not name pipeline: that branch holds what the pipeline itself commits")
    return names
