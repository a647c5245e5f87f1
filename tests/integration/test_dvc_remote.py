"""Remotes that are not a healthy folder: S3, read-only, full, hung up by credentials in the URL."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlops_assets.failures import TransientFailure
from mlops_assets.params.operations import RetentionRules
from mlops_assets.versioning.git.commands import ProgramMissing
from mlops_assets.versioning.retention import prune_versions
from tests.integration.ssh_host import running_host
from tests.user_clone import DVC_ENVIRONMENT, PROJECT, REAL_DVC, UserClone, free_port, sh

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server on loopback with an empty bucket `reviews`; credentials are in the environment."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "s3.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(port)
        request = urllib.request.Request(f"http://127.0.0.1:{port}/reviews", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  loopback
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _await(port: int) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def test_an_s3_remote_carries_the_versions_and_its_endpoint_travels_on_the_branch(tmp_path: Path, s3: str) -> None:
    user = UserClone(tmp_path / "user")
    options = {"remote_url": "s3://reviews/dvc", "remote_options": {"endpointurl": s3}}
    first = user.version_data(user.repository(**options))
    assert (first.changed, first.pushed_objects) == (True, 3)  # raw and validated are one folder version here
    sh(tmp_path, "git", "clone", "-q", "-b", "pipeline", "user", "colleague")
    credentials = ("env", "AWS_ACCESS_KEY_ID=testing", "AWS_SECRET_ACCESS_KEY=testing")
    sh(tmp_path / "colleague", *credentials, str(REAL_DVC), "pull", "-q")
    assert {path.read_bytes() for path in (tmp_path / "colleague/data/raw").rglob("*.parquet")} == {
        path.read_bytes() for path in user.months.values()
    }


@pytest.mark.parametrize(
    ("url", "extra"), [("ssh://127.0.0.1/srv/dvc", "ssh"), ("gs://reviews/dvc", "gs"), ("azure://reviews/dvc", "azure")]
)
def test_a_remote_that_needs_an_extra_names_it_and_what_installs_it(tmp_path: Path, url: str, extra: str) -> None:
    user = UserClone(tmp_path / "user")
    with pytest.raises(ProgramMissing, match=rf"dvc\[{extra}\].* pip install .* -r locks/dvc-{extra}\.txt"):
        user.version_data(user.repository(remote_url=url))


@pytest.fixture
def dvc_with_ssh(tmp_path: Path) -> Path:
    """DVC in an environment of its own, with what `ssh://` needs."""
    folder = tmp_path / "venv-dvc"
    shutil.copytree(DVC_ENVIRONMENT, folder, symlinks=True)
    lock = PROJECT / "locks" / "dvc-ssh.txt"
    command = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", lock]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"dvc[ssh] cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin" / "dvc"


@pytest.mark.long
def test_an_ssh_remote_carries_the_versions_and_gets_lost_objects_again(
    tmp_path: Path, home: Path, dvc_with_ssh: Path
) -> None:
    with running_host(tmp_path / "host") as host:
        login = urlsplit(host.address)
        ssh = home / ".ssh"
        ssh.mkdir(mode=0o700)
        (ssh / "config").write_text(f"Host {login.hostname}\n  IdentityFile {host.user_key}\n", encoding="utf-8")
        shutil.copyfile(host.known_hosts, ssh / "known_hosts")
        store = tmp_path / "store"
        user = UserClone(tmp_path / "user", dvc=dvc_with_ssh)
        options = {"remote_url": f"{host.address}{store}"}
        first = user.version_data(user.repository(**options))
        assert (first.changed, first.pushed_objects) == (True, 3)
        again = user.version_data(user.repository(**options), run_id="run-2")
        assert (again.changed, again.pushed_objects) == (False, 0)

        for path in store.rglob("*"):
            if path.is_file() and path.suffix != ".dir":
                path.unlink()
        user.month("2026-03", b"march")
        assert user.version_data(user.repository(**options), run_id="run-3").pushed_objects == 4

        sh(tmp_path, "git", "clone", "-q", "-b", "pipeline", "user", "colleague")
        sh(tmp_path / "colleague", str(dvc_with_ssh.with_name("python")), "-m", "dvc", "pull", "-q")
        assert {path.read_bytes() for path in (tmp_path / "colleague/data/raw").rglob("*.parquet")} == {
            path.read_bytes() for path in user.months.values()
        }


@pytest.mark.long
def test_an_s3_remote_that_lost_objects_gets_them_again_and_is_pruned(tmp_path: Path, s3: str) -> None:
    user = UserClone(tmp_path / "user")
    options = {"remote_url": "s3://reviews/dvc", "remote_options": {"endpointurl": s3}}
    user.version_data(user.repository(**options))
    again = user.version_data(user.repository(**options), run_id="run-2")
    assert (again.changed, again.pushed_objects) == (False, 0)

    _empty_the_bucket_but_lists(user, options)
    user.month("2026-03", b"march")
    second = user.version_data(user.repository(**options), run_id="run-3")
    assert second.pushed_objects == 4  # what the bucket lost comes again with the new month

    pruned = prune_versions(
        user.repository(**options),
        now=datetime.now(UTC) + timedelta(days=31),
        rules=RetentionRules(),
        deployed=(),
        report=lambda _: None,
    )
    assert len(pruned.remote) == 1  # the first version's list; its months live on in the second
    assert len(user.repository(**options).clone.remote.ages()) == 4


def _empty_the_bucket_but_lists(user: UserClone, options: dict) -> None:
    repository = user.repository(**options)
    repository.clone.remote.delete(name for name in repository.clone.remote.ages() if not name.endswith(".dir"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, which root can mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting a tmpfs needs root: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
def test_a_full_remote_leaves_no_pointer_and_works_once_it_has_space(tmp_path: Path, small_disk: Path) -> None:
    user = UserClone(tmp_path / "user")
    first = user.version_data(user.repository(remote_url=str(small_disk)))
    user.month("2026-03", bytes(range(256)) * 8_000)
    before = user.all_but_the_branch()
    with pytest.raises(TransientFailure, match=r"(?i)no space left|lacks \d+ of"):
        user.version_data(user.repository(remote_url=str(small_disk)), run_id="run-2")
    assert user.git("rev-parse", "pipeline") == first.commit
    assert user.all_but_the_branch() == before
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert user.version_data(user.repository(remote_url=str(small_disk)), run_id="run-3").changed
    assert user.remote_holds_the_tip()


@pytest.mark.long
def test_a_read_only_remote_leaves_no_pointer(tmp_path: Path, small_disk: Path) -> None:
    user = UserClone(tmp_path / "user")
    first = user.version_data(user.repository(remote_url=str(small_disk)))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert user.version_data(user.repository(remote_url=str(small_disk)), run_id="run-2").changed is False
    user.month("2026-03", b"march")
    before = user.all_but_the_branch()
    with pytest.raises(TransientFailure, match=r"(?i)read-only|lacks \d+ of"):
        user.version_data(user.repository(remote_url=str(small_disk)), run_id="run-3")
    assert user.git("rev-parse", "pipeline") == first.commit
    assert user.all_but_the_branch() == before


@pytest.mark.long
def test_another_clone_uses_the_bucket_that_the_branch_names_and_starts_anew_where_it_lost_a_version(
    tmp_path: Path, s3: str
) -> None:
    first = UserClone(tmp_path / "first", origin=True)
    options = {"remote_url": "s3://reviews/dvc", "remote_options": {"endpointurl": s3}}
    published = first.version_data(first.repository(**options))
    second = UserClone.of_origin(tmp_path / "second", dvc=REAL_DVC)
    repository = second.repository()
    assert set(repository.stored_files("data/raw")) == set(first.months)
    assert repository.clone.remote.address.url == "s3://reviews/dvc"
    assert repository.base().foreign == (published.commit,)

    repository.clone.remote.delete(list(repository.clone.remote.ages()))
    third = UserClone.of_origin(tmp_path / "third", dvc=REAL_DVC)
    third.month("2026-02", b"february, as the third has it")
    done = third.version_data()
    assert done.anew is not None
    assert f"remote (s3://reviews/dvc) holds data/raw of version {published.commit[:12]}" in done.anew
    assert done.origin == "pushed"
    assert third.git("rev-parse", "pipeline~1") == published.commit
