"""`python -m mlops_assets.serving --model DIR --port N`: one process, one model."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlops_assets.failures import Failure
from mlops_assets.serving.models.model import load_with_golden
from mlops_assets.serving.options import ServerOptions


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or the control socket's `stop`."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.serving", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a sealed model folder")
    parser.add_argument("--port", type=int, default=8080, help="0 takes any free one")
    parser.add_argument("--host", default="127.0.0.1", help="beyond loopback only with API_KEYS")
    environ = os.environ  # noqa: TID251  # the server's image has no params.yaml and no settings.py
    release = environ.get("RELEASE_VERSION", "")
    parser.add_argument("--release", default=release, help="the release version that /health names")
    parser.add_argument("--control", type=Path, help="a socket file through which the public port is handed over")
    given = parser.parse_args(arguments)
    try:
        options = ServerOptions.from_environment(environ)
        options.refuse_open_host(given.host)
    except Failure as error:
        print(error, file=sys.stderr)  # noqa: T201  # the command's one line of refusal
        return 2
    with ThreadPoolExecutor(1) as loader:
        loaded = loader.submit(load_with_golden, given.model)  # while FastAPI is imported, which takes as long
        import uvicorn

        from mlops_assets.serving.app import create_app
        from mlops_assets.serving.connections import Bounds, Door, possible_connections
        from mlops_assets.serving.edge import Draining
        from mlops_assets.serving.log.request_log import destination
        from mlops_assets.serving.takeover import TakeoverServer

        draining = Draining()
        app = create_app(
            loaded.result,
            options=options,
            release_version=given.release,
            draining=draining,
            requests_to=destination(options.request_log_file),
        )
        errors = app.state.metrics.errors
        bounds = Bounds(connections=possible_connections(Bounds.connections))
        door = Door(bounds, on_error=lambda status: errors.labels(str(status)).inc())
        protocol: Any = door.protocol  # uvicorn calls it as it would a class
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            host=given.host,
            port=given.port,
            access_log=False,
            proxy_headers=options.behind_gateway,  # else anybody on this machine could name another address as theirs
            forwarded_allow_ips="*",
            server_header=False,
            log_level="info",
            lifespan="on",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=5,
        )
        if not options.api_keys:
            print(f"API keys are off: everybody who reaches {given.host} may use the API", flush=True)  # noqa: T201  # for whoever starts it
        TakeoverServer(
            config, options=options, draining=draining, control=given.control, release_version=given.release
        ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
