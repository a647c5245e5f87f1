"""PlayStore against a server that misbehaves: what is retried, what is refused, what is said."""

import email.utils
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest
import trustme

from mlops_assets.params.reviews import CollectOptions
from mlops_assets.reviews.play_store.client import PlayStore
from mlops_assets.reviews.play_store.feed import PageMissing, StoreRefused, Throttled, TokenRefused, UnknownApp
from mlops_assets.reviews.play_store.rate_limit import RateLimit
from mlops_assets.reviews.play_store.reply import library
from tests.collection_cases import APP, feed_of, review
from tests.fakes.play_store import FakePlayStore, Fault
from tests.fakes.play_wire import serve

OPTIONS = CollectOptions(
    requests_per_second=1000, retries=3, backoff_s=1, backoff_most_s=3, read_timeout_s=30, connect_timeout_s=30
)
KINDS = ("429", "500", "503", "403", "hang", "cut", "cut early", "gateway", "data", "consent", "consent redirect")


@pytest.fixture
def fake():
    fake = FakePlayStore(page_size=20)
    fake.add(APP, feed_of(95))
    return fake


@pytest.fixture
def wire(fake):
    with serve(fake) as wire:
        yield wire


@pytest.fixture
def slept():
    return []


@pytest.fixture
def play(request, wire, slept):
    limit = RateLimit(1000, sleep=lambda _: None)
    hangs = "kind" in request.fixturenames and request.getfixturevalue("kind") == "hang"
    options = OPTIONS.model_copy(update={"read_timeout_s": 0.7}) if hangs else OPTIONS
    return PlayStore(options, url=wire.url, limit=limit, sleep=slept.append, jitter=lambda: 1.0)


@pytest.fixture
def feed(play):
    feed = play.open()
    yield feed
    feed.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_heals_when_the_store_does(fake, feed, kind):
    fake.faults = [Fault(kind, times=2)]
    page = feed.fetch(APP, None)
    assert len(page.reviews) == 20
    assert feed.requests == 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_that_stays_is_named_within_the_budget(fake, feed, slept, kind):
    fake.faults = [Fault(kind, times=100)]
    expected = Throttled if kind in ("429", "403", "gateway", "data") else PageMissing
    with pytest.raises(expected, match=f"{APP}: no page from .* after 4 tries") as caught:
        feed.fetch(APP, None)
    assert slept == [1, 2, 3]
    assert not any(name in str(caught.value) for name in fake.names())
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(fake, feed, slept, form):
    date = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    fake.faults = [Fault("429", retry_after=date if form == "date" else "200")]
    feed.fetch(APP, None)
    assert 100 < slept[0] <= 200


def test_a_wait_beyond_the_budget_is_not_waited_for(fake, feed, slept):
    fake.faults = [Fault("429", retry_after="86400")]
    with pytest.raises(Throttled, match="asks to wait 86400 s"):
        feed.fetch(APP, None)
    assert slept == []


def test_a_store_that_asks_to_wait_is_left_alone_by_every_app(fake, wire):
    pauses = []
    limit = RateLimit(1000, sleep=pauses.append)
    fake.add("com.other.app", feed_of(3))
    fake.faults = [Fault("429", retry_after="200")]
    play = PlayStore(OPTIONS, url=wire.url, limit=limit, sleep=lambda _: None)
    first, second = play.open(), play.open()
    first.fetch(APP, None)
    second.fetch("com.other.app", None)
    first.close()
    second.close()
    assert max(pauses) > 100


def test_a_crawl_keeps_one_backend_and_a_later_one_goes_on_with_its_cookie(fake, play):
    feed = play.open()
    second = feed.fetch(APP, feed.fetch(APP, None).token)
    later = play.open(feed.cookies())
    third = later.fetch(APP, second.token)
    assert {one.review_id for one in second.reviews}.isdisjoint(one.review_id for one in third.reviews)
    stranger = play.open()
    with pytest.raises(TokenRefused):
        stranger.fetch(APP, second.token)
    for one in (feed, later, stranger):
        one.close()


def test_an_app_that_the_store_does_not_know_is_its_own_error(feed):
    with pytest.raises(UnknownApp, match=r"com\.nobody\.here"):
        feed.fetch("com.nobody.here", None)


def test_a_store_that_answers_404_everywhere_knows_no_app(wire):
    feed = PlayStore(OPTIONS, url=f"{wire.url}/nowhere").open()
    with pytest.raises(UnknownApp):
        feed.fetch("com.nobody.here", None)
    feed.close()


def test_a_rejected_request_is_not_repeated(fake, feed):
    fake.faults = [Fault("400", times=100)]
    with pytest.raises(StoreRefused, match="HTTP 400"):
        feed.fetch(APP, None)
    assert feed.requests == 1


def test_a_port_where_nobody_listens_is_a_missing_page(slept):
    feed = PlayStore(OPTIONS, url="http://127.0.0.1:9", sleep=slept.append).open()
    with pytest.raises(PageMissing, match="connection broke"):
        feed.fetch(APP, None)
    feed.close()


def test_the_user_agent_and_the_language_are_sent(wire, feed):
    feed.fetch(APP, None)
    assert wire.user_agents == [OPTIONS.user_agent]


def test_names_leave_no_trace_in_a_page(fake, wire):
    fake.add(
        APP,
        [
            review(
                5000, datetime(2027, 1, 1, tzinfo=UTC), name="Sekar Ayu", reply="Halo kak SEKAR, Ayu!", replied_at_s=1
            )
        ],
    )
    feed = PlayStore(OPTIONS, url=wire.url).open()
    page = feed.fetch(APP, None)
    feed.close()
    assert page.reviews[0].reply_text == "Halo kak [name], [name]!"
    assert not any(name in str(page) for name in fake.names())


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class TestTls:
    @pytest.fixture
    def secure(self, fake, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with serve(fake, context) as wire:
            yield wire

    def test_a_trusted_certificate_is_enough(self, secure, authority):
        trust = httpx.create_ssl_context()
        authority.configure_trust(trust)
        feed = PlayStore(OPTIONS, url=secure.url, tls=trust).open()
        assert len(feed.fetch(APP, None).reviews) == 20
        feed.close()

    def test_an_untrusted_certificate_is_refused_at_once(self, fake, secure, slept):
        feed = PlayStore(OPTIONS, url=secure.url, sleep=slept.append).open()
        with pytest.raises(StoreRefused, match="certificate"):
            feed.fetch(APP, None)
        feed.close()
        assert (slept, fake.requests) == ([], [])


def test_importing_the_library_leaves_tls_verification_on():
    code = (
        "import ssl; before = ssl._create_default_https_context\n"
        "from mlops_assets.reviews.play_store.reply import library\n"
        "library(); import google_play_scraper\n"
        "assert ssl._create_default_https_context is before is not ssl._create_unverified_context"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_library_itself_reads_the_fake(fake, wire, monkeypatch):
    library()
    import google_play_scraper as gps
    from google_play_scraper.constants.request import Formats

    monkeypatch.setattr(
        type(Formats.Reviews), "URL_FORMAT", wire.url + "/_/PlayStoreUi/data/batchexecute?hl={lang}&gl={country}"
    )
    found, token = gps.reviews(APP, lang="id", country="id", sort=gps.Sort.NEWEST, count=20)
    assert [one["reviewId"] for one in found] == [f"gp:{n:06}" for n in range(20)]
    assert found[0]["userName"] == "Wulandari 0"
    assert found[0]["appVersion"] == "1.0.0"
    assert token.token


def test_pages_come_in_order_without_gap_or_repeat(fake, feed):
    token, seen = None, []
    while True:
        page = feed.fetch(APP, token)
        seen += page.reviews
        token = page.token
        if token is None:
            break
    assert len(seen) == len({one.review_id for one in seen}) == 95
    assert all(a.at_s >= b.at_s for a, b in pairwise(seen))
