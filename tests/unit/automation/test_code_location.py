"""What the webserver is asked for when new code is to be loaded."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mlops_assets.automation.code_location import CodeLocation
from mlops_assets.failures import TransientFailure

LOADED = {"__typename": "WorkspaceLocationEntry", "locationOrLoadError": {"__typename": "RepositoryLocation"}}


@pytest.fixture
def webserver() -> Iterator[str]:
    """Loads the location `mlops-assets` and knows no other; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = (
                asked["variables"] == {"name": "mlops-assets"} and "(repositoryLocationName: $name)" in asked["query"]
            )
            reply = LOADED if known else {"__typename": "RepositoryLocationNotFound"}
            body = json.dumps({"data": {"reloadRepositoryLocation": reply}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_location_is_reloaded_by_its_name(webserver: str) -> None:
    CodeLocation(url=webserver).reload("mlops-assets")


def test_a_location_that_the_webserver_does_not_know_is_said(webserver: str) -> None:
    with pytest.raises(TransientFailure, match="could not load the new code: RepositoryLocationNotFound"):
        CodeLocation(url=webserver).reload()
