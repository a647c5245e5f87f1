import pytest

from tests.collection_cases import CollectionCases, Connect
from tests.fakes.play_store import MemoryPlayStore


class TestCollectingFromMemory(CollectionCases):
    @pytest.fixture
    def connect(self) -> Connect:
        return MemoryPlayStore
