"""One guard for a module of tests, and the engine behind it without a memory of other tests."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.engine_guard.fake_engine import FakeEngine, guarded, the_stack


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clone.of+a(team)")  # a path that means something to a regular expression


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Iterator[tuple[FakeEngine, httpx.Client]]:
    path = tmp_path_factory.mktemp("engine") / "s"
    with FakeEngine(path) as engine:
        threading.Thread(target=engine.serve_forever, args=(0.05,), daemon=True).start()
        with guarded(the_stack(clone), path) as client:
            yield engine, client
        engine.shutdown()


@pytest.fixture
def engine(listening: tuple[FakeEngine, httpx.Client]) -> FakeEngine:
    listening[0].asked.clear()
    listening[0].binds = []
    return listening[0]


@pytest.fixture
def client(listening: tuple[FakeEngine, httpx.Client]) -> httpx.Client:
    return listening[1]
