import pytest

from mlops_assets.serving.options import BadOption, ServerOptions

DIGEST = "ab" * 32


def test_keys_are_names_with_digests():
    options = ServerOptions.from_environment({"API_KEYS": f"web:{DIGEST}, batch:{DIGEST.upper()}"})
    assert options.api_keys == {"web": DIGEST, "batch": DIGEST}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("API_KEYS", "web:plain-secret", "name:sha256"),
        ("MAX_TEXTS", "0", "from 1 to 100000"),
        ("MAX_TEXT_CHARS", "many", "whole number"),
        ("LOG_TEXTS", "perhaps", "1 or 0"),
        ("POSTGRES_PORT", "x", "whole number"),
        ("MAX_TEXTS", "4001", "MAX_QUEUE_TEXTS 4000: a batch of MAX_TEXTS would never find room"),
        ("MAX_QUEUE_TEXTS", "999", "999: .* raise MAX_QUEUE_TEXTS or lower MAX_TEXTS"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_rule(name, value, rule):
    with pytest.raises(BadOption, match=rf"{name}.*{rule}") as caught:
        ServerOptions.from_environment({name: value, "POSTGRES_HOST": "db"})
    assert "plain-secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_without_keys_loopback_is_allowed(host):
    ServerOptions().refuse_open_host(host)


@pytest.mark.parametrize("host", ["::", "192.168.1.2", "example.org"])
def test_without_keys_any_other_host_is_refused(host):
    with pytest.raises(BadOption, match="API_KEYS is empty"):
        ServerOptions().refuse_open_host(host)
    ServerOptions(api_keys={"web": DIGEST}).refuse_open_host(host)
    ServerOptions(allow_anonymous=True).refuse_open_host(host)


def test_postgres_comes_before_sqlite_and_its_password_is_escaped():
    environ = {"POSTGRES_HOST": "db", "POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p@ss/", "POSTGRES_DB": "log"}
    environ["PREDICTION_LOG"] = "/x"
    assert ServerOptions.from_environment(environ).prediction_log == "postgresql://u:p%40ss%2F@db:5432/log"
    assert ServerOptions.from_environment({"PREDICTION_LOG": "/x"}).prediction_log == "sqlite:/x"
