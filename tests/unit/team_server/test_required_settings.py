"""What the stack refuses to start on: every problem at once, and no secret in any message."""

import pytest

from mlops_assets.team_server.required_settings import logins, notes, problems, weakness

STRONG = "c41f09b7d2a86e53"
GOOD = {
    "CLONE": "/srv/mlops",
    "POSTGRES_USER": "pipeline",
    "POSTGRES_PASSWORD": STRONG + "1",
    "POSTGRES_DB": "reviews",
    "GRAFANA_ADMIN_USER": "boss",
    "GRAFANA_ADMIN_PASSWORD": STRONG + "2",
    "DVC_REMOTE_URL": "s3://bucket/reviews",
    "LOOK_LOGINS": f"ana:{STRONG}3",
    "OPERATE_LOGINS": f"oki:{STRONG}4, ori:{STRONG}5",
}


def test_good_settings_have_no_problem_and_give_each_login_its_role() -> None:
    assert problems(GOOD) == []
    assert [(login.name, login.role) for login in logins(GOOD)[0]] == [
        ("ana", "look"),
        ("oki", "operate"),
        ("ori", "operate"),
        ("boss", "grafana_admin"),
    ]


@pytest.mark.parametrize(
    "password",
    ["", "short", "password1234", "P@ssw0rd!2026", "postgres-postgres", "changeme12345", "admin_admin_1",
     "aaaaaaaaaaaaaa", "1234567890123", "grafana-password", "letmein!letmein!", "pipeline-c41f09b7", "qwertyuiop12"],
)  # fmt: skip
def test_an_empty_short_or_well_known_password_is_refused(password: str) -> None:
    assert weakness(password, "pipeline")


@pytest.mark.parametrize("password", [STRONG, "correct horse battery staple", "Tz7-kQ2x-Wm9p", "839201746650"])
def test_a_password_that_is_no_word_stays(password: str) -> None:
    assert weakness(password, "pipeline") is None


def test_nothing_set_names_every_variable_at_once() -> None:
    messages = "\n".join(problems({}))
    for name in ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "GRAFANA_ADMIN_USER", "GRAFANA_ADMIN_PASSWORD",
                 "DVC_REMOTE_URL", "OPERATE_LOGINS"):  # fmt: skip
        assert messages.count(f"{name} ") == 1, messages


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"POSTGRES_PASSWORD": "changeme12345"}, "POSTGRES_PASSWORD is made of well-known words"),
        ({"LOOK_LOGINS": "ana:welcome12345"}, "LOOK_LOGINS: the password of 'ana' is made of well-known words"),
        ({"OPERATE_LOGINS": f"oki:{STRONG},broken"}, "OPERATE_LOGINS: entry 2 must be name:password"),
        ({"OPERATE_LOGINS": f"ana:{STRONG}"}, "login 'ana' is named 2 times"),
        ({"LOOK_LOGINS": f"boss:{STRONG}"}, "login 'boss' is named 2 times"),
        ({"POSTGRES_DB": "dagster"}, "that database is Dagster's own"),
        ({"POSTGRES_USER": "Bad-Name"}, "got 'Bad-Name'"),
        ({"DVC_REMOTE_URL": "/mnt/elsewhere"}, "a folder in the clone"),
        ({"DVC_REMOTE_URL": "/srv/mlops-other"}, "a folder in the clone"),
        ({"IMAGE_REGISTRY": "ghcr.io/team"}, "GITHUB_TOKEN is empty"),
        ({"GITHUB_TOKEN": "two words"}, "GITHUB_TOKEN must be one token"),
        ({"DEPLOY_HOST": "ssh://me@host.example"}, "DEPLOY_HOST is not for a team's server"),
        ({"TLS_CERTIFICATE": "/etc/ssl/own.pem"}, "TLS_CERTIFICATE must lie in the clone"),
        ({"MLFLOW_TRACKING_URI": "/srv/runs"}, "MLFLOW_TRACKING_URI must lie in the clone"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(changed: dict[str, str], message: str) -> None:
    (problem,) = problems({**GOOD, **changed})
    assert message in problem


def test_no_message_repeats_a_secret() -> None:
    secrets = {
        "POSTGRES_PASSWORD": "hunter2",
        "GRAFANA_ADMIN_PASSWORD": "tiny-one",
        "LOOK_LOGINS": "ana:small-one,oops-a-secret",
    }
    messages = "\n".join(problems({**GOOD, **secrets}))
    assert not any(secret in messages for secret in ("hunter2", "tiny-one", "small-one", "oops-a-secret"))


def test_mongo_db_without_a_server_is_taken_and_explained() -> None:
    assert problems({**GOOD, "MONGO_DB": "reviews"}) == []
    (note,) = notes({"MONGO_DB": "reviews"})
    assert "MONGO_URL" in note
    assert notes({"MONGO_DB": "reviews", "MONGO_URL": "mongodb://mongo"}) == []
