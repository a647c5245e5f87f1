"""The stack that several files of tests look at: `make up` once for all of them."""

from collections.abc import Iterator

import pytest

from tests.stack_machine import APPS, Stack, build_images, compose_or_skip


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    compose_or_skip()
    build_images()
    machine = Stack(tmp_path_factory.mktemp("stack"), apps=APPS, first_month="2025-10")
    try:
        refused = machine.make("up", POSTGRES_PASSWORD="postgres", GRAFANA_ADMIN_PASSWORD="", OPERATE_LOGINS="")
        machine.refused = (refused, len(machine.containers()))
        up = machine.make("up")
        assert up.returncode == 0, f"{up.stdout[-3000:]}\n{up.stderr[-3000:]}\n{machine.logs()}"
        yield machine
    finally:
        machine.remove()
