"""The proxy in use stands in messages about a network that does not answer, and its credentials never do."""

from collections.abc import Iterator

import pytest
from huggingface_hub.utils import close_session

from mlops_assets.automation.code_location import CodeLocation
from mlops_assets.params.models import BertRecipe
from mlops_assets.params.reviews import CollectOptions
from mlops_assets.proxies import through_proxy
from mlops_assets.reporting.messages import Message
from mlops_assets.reporting.notifier import AppriseChannel, Heartbeat
from mlops_assets.reporting.outbox import Unreachable
from mlops_assets.reviews.play_store.client import PlayStore
from mlops_assets.reviews.play_store.feed import PageMissing
from mlops_assets.settings import child_environment
from mlops_assets.training.bert.hub import HubUnreachable, load_base
from mlops_assets.versioning.git.commands import Git, GitFailure
from mlops_assets.versioning.git.history import GitHistory
from tests.user_clone import free_port, git, make_clone

PROXY = "http://user:hush@127.0.0.1:9/"
SAID = " through the proxy http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("url", "environ", "said"),
    [
        ("https://play.google.com/x", {}, ""),
        ("https://play.google.com/x", {"HTTPS_PROXY": PROXY}, f"{SAID} (HTTPS_PROXY)"),
        ("https://play.google.com/x", {"https_proxy": "127.0.0.1:9"}, " through the proxy 127.0.0.1:9 (https_proxy)"),
        ("https://play.google.com/x", {"HTTP_PROXY": PROXY}, ""),
        ("http://store.example/x", {"HTTP_PROXY": PROXY}, f"{SAID} (HTTP_PROXY)"),
        ("https://play.google.com/x", {"ALL_PROXY": "socks5://u:p@h:1"}, " through the proxy socks5://h:1 (ALL_PROXY)"),
        ("https://play.google.com/x", {"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost,.google.com"}, ""),
        ("http://127.0.0.1:3000/x", {"HTTP_PROXY": PROXY, "no_proxy": "127.0.0.1"}, ""),
        ("https://play.google.com/x", {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, ""),
        ("ssh://git@host/x.git", {"ALL_PROXY": PROXY}, ""),
        ("git@host:x.git", {"ALL_PROXY": PROXY}, ""),
        ("/srv/x.git", {"ALL_PROXY": PROXY}, ""),
    ],
)
def test_the_proxy_of_an_address(url, environ, said) -> None:
    assert through_proxy(url, environ) == said


@pytest.fixture
def dead(monkeypatch) -> Iterator[str]:
    """A proxy on a port where nobody listens."""
    address = f"127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://user:hush@{address}")
    close_session()  # the hub's library keeps one, with the proxies of its first request
    yield address
    close_session()


def test_git_names_a_dead_proxy(tmp_path, dead) -> None:
    clone = make_clone(tmp_path / "clone")
    git(clone, "remote", "add", "origin", "https://git.example.invalid/x.git")
    problem = GitHistory(clone).fetch("main").problem
    assert f"through the proxy http://{dead} (https_proxy)" in problem
    here = Git(clone, clone / ".git", child_environment())
    with pytest.raises(GitFailure, match=f"through the proxy http://{dead}") as raised:
        here.run("fetch", "--quiet", "https://git.example.invalid/x.git", "main")
    assert f"through the proxy http://{dead}" in here.push("https://git.example.invalid/x.git", "main:main").reason
    assert "hush" not in f"{problem}{raised.value}"


@pytest.mark.parametrize(
    "channel", [AppriseChannel("jsons://chat.example.invalid/x"), Heartbeat("https://ping.invalid/x")]
)
def test_notifications_name_a_dead_proxy(dead, channel) -> None:
    with pytest.raises(Unreachable, match=rf"through the proxy http://{dead} \(https_proxy\)") as raised:
        channel.send(Message("a:failure", "failure", "a", "title", "text"))
    assert "hush" not in str(raised.value)


def test_the_webserver_on_this_machine_is_asked_without_the_proxy(dead) -> None:
    with pytest.raises(Exception, match="did not reload the code") as raised:
        CodeLocation(url=f"http://127.0.0.1:{free_port()}").reload()
    assert "proxy" not in str(raised.value)
    with pytest.raises(Exception, match=f"through the proxy http://{dead}"):
        CodeLocation(url="http://team.example.invalid").reload()


def test_the_store_and_the_hub_name_a_dead_proxy(tmp_path, dead) -> None:
    options = CollectOptions(retries=0, backoff_s=0, backoff_most_s=0)
    feed = PlayStore(options, url="https://store.example.invalid", sleep=lambda _: None).open()
    with pytest.raises(PageMissing, match=rf"the connection broke \(\w+\) through the proxy http://{dead}"):
        feed.fetch("com.example.app", None)
    feed.close()
    with pytest.raises(HubUnreachable, match=f"through the proxy http://{dead}") as raised:
        load_base(BertRecipe(base_model="someone/small"), ["a", "b"], endpoint="https://hub.invalid", cache=tmp_path)
    assert "hush" not in str(raised.value)
