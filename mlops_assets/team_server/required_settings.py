"""The settings that the stack needs before it starts: every problem at once, without the value of a secret."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_assets.deploy_settings import NO_HOST_IN_THE_STACK
from mlops_assets.team_server.instance import PREDICTION_LOG, READER

LEAST_CHARS = 12
_WELL_KNOWN = re.compile(
    r"pass(word|wort|wd|w)?|admin(istrator)?|postgres(ql)?|grafana|prometheus|dagster|mlops|changeme|change|secret"
    r"|letmein|welcome|qwert[yz](uiop)?|asdf(gh)?(jkl)?|zxcvbn?m?|abc(def)?(gh)?|iloveyou|monkey|dragon|master|default"
    r"|example|test(ing)?|demo|dev|prod(uction)?|root|user|guest|login|server|stack|database|data|db|me|my|the|super"
    r"|sentiment|reviews?|operate|look|docker|hunter|trustno|sunshine|football|baseball|princess|hello|world|foobar|foo|bar"
)
_LEET = str.maketrans("@4031!$57", "aaoeiisst")
_LOGIN = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<password>[^,\s]+)")
_POSTGRES_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Login:
    """A person who may log in at the door; `role` is look, operate or grafana_admin."""

    name: str
    password: str
    role: str


def weakness(password: str, user: str) -> str | None:  # noqa: PLR0911  # one return a rule
    """Why the password is refused, without repeating it. None if it is good enough."""
    if not password:
        return "is empty"
    if len(password) < LEAST_CHARS:
        return f"must have at least {LEAST_CHARS} characters, has {len(password)}"
    plain = password.casefold()
    if user and user.casefold() in plain:
        return "must not hold the user's name"
    if len(set(plain)) < 6:
        return "must have at least 6 different characters"
    # Without well-known words, also those spelt with digits, the rest must still be a password.
    letters = {re.sub(r"[^a-z]", "", plain), re.sub(r"[^a-z]", "", plain.translate(_LEET))}
    if any(len(_WELL_KNOWN.sub("", word)) < 3 for word in letters) and re.search("[a-z]", plain):
        return "is made of well-known words"
    if plain.isdecimal() and (plain in "01234567890123456789" or plain in "98765432109876543210"):
        return "is made of well-known words"
    return None


def logins(environ: Mapping[str, str]) -> tuple[list[Login], list[str]]:
    """Who may log in, and every problem of the variables that name them."""
    accepted: list[Login] = []
    problems: list[str] = []
    for role in ("look", "operate"):
        variable = f"{role.upper()}_LOGINS"
        for position, part in enumerate(
            filter(None, (part.strip() for part in environ.get(variable, "").split(","))), 1
        ):
            match = _LOGIN.fullmatch(part)
            if match is None:
                problems.append(f"{variable}: entry {position} must be name:password, without comma or blank in either")
            else:
                accepted.append(Login(match["name"], match["password"], role))
    if not any(login.role == "operate" for login in accepted):
        problems.append("OPERATE_LOGINS names nobody: set OPERATE_LOGINS=name:password, or no one can start a run")
    admin, password = environ.get("GRAFANA_ADMIN_USER", "").strip(), environ.get("GRAFANA_ADMIN_PASSWORD", "")
    if admin:
        accepted.append(Login(admin, password, "grafana_admin"))
    names = [login.name for login in accepted]
    problems += [
        f"login {name!r} is named {names.count(name)} times in LOOK_LOGINS, OPERATE_LOGINS and GRAFANA_ADMIN_USER: "
        "one role a name"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    problems += [
        f"{login.role.upper()}_LOGINS: the password of {login.name!r} {why}: make one with openssl rand -hex 16"
        for login in accepted
        if login.role != "grafana_admin" and (why := weakness(login.password, login.name))
    ]
    return accepted, problems


def problems(environ: Mapping[str, str]) -> list[str]:
    """Every problem that keeps the stack from starting. Empty if it may start."""
    return [*_database(environ), *_grafana(environ), *logins(environ)[1], *_locations(environ)]


def notes(environ: Mapping[str, str]) -> list[str]:
    """Remarks about settings that are accepted."""
    if environ.get("MONGO_DB", "").strip() and not environ.get("MONGO_URL", "").strip():
        return ["MONGO_DB names a database, and MONGO_URL no server: reviews are not mirrored (docs/mirrors.md)"]
    return []


def _database(environ: Mapping[str, str]) -> Iterator[str]:
    user, name = environ.get("POSTGRES_USER", "").strip(), environ.get("POSTGRES_DB", "").strip()
    for variable, value, meaning in (
        ("POSTGRES_USER", user, "the owner of the databases"),
        ("POSTGRES_DB", name, "the database of predictions and facts"),
    ):
        if not value:
            yield f"{variable} is empty: name {meaning}"
        elif not _POSTGRES_NAME.fullmatch(value):
            yield f"{variable} must be lower-case letters, digits and _, not a digit first, got {value!r}"
    if user in {READER, PREDICTION_LOG}:
        yield f"POSTGRES_USER must not be {user!r}: the stack makes that role, which owns nothing"
    if name == "dagster":
        yield "POSTGRES_DB must not be 'dagster': that database is Dagster's own"
    if why := weakness(environ.get("POSTGRES_PASSWORD", ""), user):
        yield f"POSTGRES_PASSWORD {why}: make one with openssl rand -hex 16"


def _grafana(environ: Mapping[str, str]) -> Iterator[str]:
    user = environ.get("GRAFANA_ADMIN_USER", "").strip()
    if not user:
        yield "GRAFANA_ADMIN_USER is empty: name who administers Grafana, and looks at the rest"
    elif not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", user):
        yield f"GRAFANA_ADMIN_USER must be letters, digits, dot, _ and -, at most 64, got {user!r}"
    if why := weakness(environ.get("GRAFANA_ADMIN_PASSWORD", ""), user):
        yield f"GRAFANA_ADMIN_PASSWORD {why}: make one with openssl rand -hex 16"


def _locations(environ: Mapping[str, str]) -> Iterator[str]:
    clone = environ.get("CLONE", "")
    url = environ.get("DVC_REMOTE_URL", "").strip()
    if environ.get("DEPLOY_HOST", "").strip():
        yield NO_HOST_IN_THE_STACK
    if not url:
        yield "DVC_REMOTE_URL is empty: name where data and models go, s3://bucket/path or a folder in the clone"
    elif "://" not in url and url.startswith("/") and not f"{url}/".startswith(f"{clone}/"):
        yield f"DVC_REMOTE_URL must be a remote or a folder in the clone, which is all that containers see, got {url!r}"
    for variable in ("TLS_CERTIFICATE", "DOOR_CERTIFICATE", "REVIEWS", "MLFLOW_TRACKING_URI"):
        for path in filter(None, (part.strip() for part in environ.get(variable, "").split(","))):
            if path.startswith("/") and not path.startswith(f"{clone}/"):
                yield f"{variable} must lie in the clone, which is all that containers see, got {path!r}"
    registry = environ.get("IMAGE_REGISTRY", "").strip()
    if registry.partition("/")[0] == "ghcr.io" and not (
        environ.get("GITHUB_TOKEN") or environ.get("REGISTRY_PASSWORD")
    ):
        yield "GITHUB_TOKEN is empty and IMAGE_REGISTRY is on ghcr.io: give a token that may write packages"
    if re.search(r"\s", environ.get("GITHUB_TOKEN", "").strip()):
        yield "GITHUB_TOKEN must be one token without blanks"
