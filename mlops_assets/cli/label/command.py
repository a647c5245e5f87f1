"""`make label`: serve the page. `make labels`: labels from a file, into a file, or in numbers."""

import argparse
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from mlops_assets.failures import Failure, PermanentFailure
from mlops_assets.reviews.labels.table import FOLDER, LabelTable
from mlops_assets.settings import Settings

_ADDRESS = "127.0.0.1"


def serve(
    settings: Settings, *, host: str = _ADDRESS, port: int | None = None, path: str = "", door: bool = False
) -> int:
    """Make the queue and serve the page until Ctrl-C. Behind the team server's door, that is what names people."""
    import uvicorn

    from mlops_assets import outside
    from mlops_assets.cli.label.page import LabelPage, guarded
    from mlops_assets.cli.label.release_page import ReleasePage
    from mlops_assets.cli.label.texts import NewestQueue, label_queue

    port = settings.label_port if port is None else port
    _refuse_taken_port(host, port)
    things = outside.build(settings)
    repository = things["repository"]
    queue = NewestQueue(
        repository.dataset_version,
        lambda: label_queue(settings, repository, lambda line: print(f"  {line}", flush=True)),
    )
    if not door:  # behind the door the page answers before the first run, too
        repository.prepare()
        queue.wait()
    page = LabelPage(queue, LabelTable(settings.data / FOLDER), settings.now, door)
    url = f"http://{_ADDRESS}:{port}"
    releases = ReleasePage(settings, things["service"], door).routes(path)
    app = guarded(page.app(path, releases), "http://label" if door else url, "set LABEL_PORT to another port")
    print(
        f"Label reviews at {url}{path}/   Ctrl-C ends it; each label is kept at once, and the next run learns from it.",
        f"A release that waits for approval: {url}{path}/release",
        sep="\n",
        flush=True,
    )
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)
    return 0


def exchange(settings: Settings, *, file: str, to: str, by: str) -> int:
    """`make labels [FILE= [BY=]] [TO=]`: take labels in, write them out, and say how many there are."""
    from mlops_assets import outside
    from mlops_assets.cli.label.numbers import progress_of
    from mlops_assets.reviews.labels.exchange import read_labels, write_labels
    from mlops_assets.steps.version import usable_reviews

    table, repository = LabelTable(settings.data / FOLDER), outside.build(settings)["repository"]
    if (file or to) and repository.dataset_version() is None:
        raise PermanentFailure("there is no data version whose texts labels could belong to: make run first")
    if file:
        texts = usable_reviews(settings, repository)["review_text"].dropna().unique().tolist()
        taken = read_labels(Path(file).expanduser().absolute(), table, texts, by=by, now=settings.now())
        print("\n".join(taken))
    if to:
        rows = usable_reviews(settings, repository)
        print(f"Wrote {write_labels(Path(to).expanduser().absolute(), table, rows)}")
    print(f"Labels: {progress_of(settings, repository)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The page in a container of the team server."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.cli.label.command", description=__doc__)
    parser.add_argument("--host", default=_ADDRESS)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--path", default="", help="where the page lies below the address")
    given = parser.parse_args(arguments)
    try:
        return serve(Settings.load(), host=given.host, port=given.port, path=given.path, door=True)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 2


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PermanentFailure(
                f"port {port} for the page cannot be taken ({error.strerror}): make label LABEL_PORT=3002"
            ) from error


if __name__ == "__main__":
    sys.exit(main())
