import pytest

from tests.collection_cases import Connect, CrawlCases
from tests.collection_changes import ChangeCases
from tests.fakes.play_store import MemoryPlayStore


class TestCollectingFromMemory(CrawlCases, ChangeCases):
    @pytest.fixture
    def connect(self) -> Connect:
        return MemoryPlayStore
