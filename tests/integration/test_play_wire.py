from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mlops_assets.reviews.play_store.client import PlayStore
from tests.collection_cases import OPTIONS, Connect, CrawlCases
from tests.collection_changes import ChangeCases
from tests.fakes.play_wire import serve


class TestCollectingOverTheWire(CrawlCases, ChangeCases):
    @pytest.fixture
    def connect(self, request: pytest.FixtureRequest) -> Iterator[Connect]:
        hangs = "kind" in request.fixturenames and request.getfixturevalue("kind") == "hang"
        # Only a store that hangs is given up soon: on a busy machine any answer may be late.
        options = OPTIONS.model_copy(update={"read_timeout_s": 1.0}) if hangs else OPTIONS
        with ExitStack() as servers:
            urls: dict[int, str] = {}

            def to_wire(fake):
                if id(fake) not in urls:
                    urls[id(fake)] = servers.enter_context(serve(fake)).url
                return PlayStore(options, url=urls[id(fake)])

            yield to_wire
