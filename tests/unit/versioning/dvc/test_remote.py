"""The URL of the DVC remote is committed: no credentials, and one value right for every clone."""

from pathlib import Path

import pytest

from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.remote import CredentialsInUrl, Remote, committed_url

ROOT = Path("/home/user/project")


@pytest.mark.parametrize(
    ("given", "committed"),
    [
        (None, "/home/user/project/.dvc-remote"),
        ("", "/home/user/project/.dvc-remote"),
        ("../store", "/home/user/store"),
        ("/mnt/store", "/mnt/store"),
        ("file:///mnt/store", "/mnt/store"),
        ("s3://bucket/path", "s3://bucket/path"),
        ("ssh://me@host/path", "ssh://me@host/path"),
        ("gs://bucket/path?versionId=1", "gs://bucket/path?versionId=1"),
    ],
)
def test_a_url_is_committed_so_that_every_clone_can_use_it(given: str | None, committed: str) -> None:
    assert committed_url(given, ROOT) == committed


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA123:hunter2@bucket/path",
        "s3://hunter2@bucket",
        "https://me:hunter2@host/path",
        "https://hunter2@host/path",
        "ssh://me:hunter2@host/path",
        "azure://container/path?sig=hunter2",
        "https://host/path?access_token=hunter2",
        "s3://bucket?AWS_SECRET_ACCESS_KEY=hunter2",
        "webdavs://host/path?password=hunter2",
    ],
)
def test_a_url_with_credentials_is_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(CredentialsInUrl) as refused:
        committed_url(url, ROOT)
    assert "hunter2" not in str(refused.value)
    assert "environment" in str(refused.value)


@pytest.mark.parametrize("option", ["secret_access_key", "access_key_id", "session_token", "password", "sas_token"])
def test_an_option_that_is_a_credential_is_refused(option: str) -> None:
    with pytest.raises(CredentialsInUrl, match=option):
        Remote("s3://bucket", {option: "hunter2"}).committed_config("")


def test_the_config_keeps_what_the_user_wrote_and_quotes_what_ini_would_split() -> None:
    own = "[core]\n    autostage = true\n['remote \"mine\"']\n    url = /mine\n"
    remote = Remote("/a,b #c", {"endpointurl": "http://host"})
    text = remote.committed_config(own)
    assert "autostage = true" in text
    assert "url = /mine" in text
    assert 'url = "/a,b #c"' in text
    assert "remote = storage" in text
    assert remote.committed_config(text) == text


def test_a_config_that_cannot_be_read_is_refused_in_one_line() -> None:
    with pytest.raises(PermanentFailure, match=r"\.dvc/config of HEAD cannot be read"):
        Remote("/store").committed_config("no section = here")


def test_the_clone_sends_nothing_about_itself() -> None:
    text = Remote("/store").local_config(Path("/clone/.dvc/tmp/site"))
    assert "analytics = false" in text
    assert "check_update = false" in text
