"""The running service against its own OpenAPI document: no 5xx, no undocumented status, whatever is sent."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.service import Service
from tests.fakes.service import UNWATCHED
from tests.fakes.tiny_model import seal_tiny_model
from tests.user_clone import free_port

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    seal_tiny_model(folder / "model")
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251 - the test starts programs, settings do not
        "PREDICTION_LOG": str(folder / "predictions.sqlite"),
    }
    service = Service(ProcessBackend(folder / "state", free_port(), environment=environment))
    service.deploy(build_release(folder / "model", folder / "releases"), lambda _line: None, watching=UNWATCHED)
    yield service
    service.stop()


WITHOUT_INPUT = ["/health", "/live", "/metrics", "/model/info", "/ready"]
WITH_BODY = ["/explain", "/feedback", "/predict", "/predict/batch"]


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        *((path, GenerationMode.POSITIVE) for path in [*WITHOUT_INPUT, *WITH_BODY]),
        *((path, GenerationMode.NEGATIVE) for path in WITH_BODY),
    ],
)
def test_no_input_meets_a_server_error_or_an_undocumented_status(service, path, mode):
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    (operation,) = (found for result in document.get_all_operations() if (found := result.ok()).path == path)

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=40, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def probe(case):
        case.call_and_validate(checks=CHECKS)

    probe()


def test_every_documented_operation_is_probed(service):
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    assert sorted(result.ok().path for result in document.get_all_operations()) == sorted([*WITHOUT_INPUT, *WITH_BODY])
