"""The receiver of alerts in the team server: what Alertmanager posts here, the sensor `deliver_notifications` sends.

Only Alertmanager shares a network with it: compose.yaml.
"""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mlops_assets.reporting.alerts import FOLDER, AlertFolder
from mlops_assets.settings import Settings


def receiver(folder: AlertFolder) -> Starlette:
    """Takes posts at `/`. Alertmanager sends a post again after a 500."""

    async def take(request: Request) -> PlainTextResponse:
        try:
            folder.put(await request.body())
        except ValidationError as error:
            return _refused(400, f"not a post of Alertmanager: {error.errors(include_input=False)[0]['msg']}")
        except OSError as error:
            return _refused(
                500, f"{folder.path} cannot be written ({error}): make room, or give it to the clone's owner"
            )
        return PlainTextResponse("kept\n")

    async def answers(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/", take, methods=["POST"]), Route("/health", answers)])


def _refused(status: int, reason: str) -> PlainTextResponse:
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return PlainTextResponse(f"{reason}\n", status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Receive until the container stops."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m mlops_assets.cli.alerts", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9095)
    given = parser.parse_args(arguments)
    app = receiver(AlertFolder(Settings.load().instance_folder / FOLDER))
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", access_log=False, server_header=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
