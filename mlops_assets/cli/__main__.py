"""`python -m mlops_assets.cli COMMAND`: what the Makefile calls."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_assets.cli.output import quiet_when_unread
from mlops_assets.document import printable
from mlops_assets.failures import HEAL, Failure, disk_trouble


def main() -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.cli", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        for argument in _ARGUMENTS.get(name, ()):
            command.add_argument(f"--{argument}", default="")
    given = parser.parse_args()
    with quiet_when_unread():
        return _guarded(given)


def _guarded(given: argparse.Namespace) -> int:
    """Run the command. A failure prints one line, and so does Ctrl-C."""
    try:
        with _own_streams():
            return _on_data(given) if given.command in _ARGUMENTS else _run(given.command)
    except KeyboardInterrupt:
        print("Stopped by you (Ctrl-C).", file=sys.stderr)
        return 130
    except Failure as failure:
        print(f"error: {printable(str(failure))}", file=sys.stderr)
    except _of_the_database() as error:
        reason = str(getattr(error, "orig", error))
        print(f"error: the run history in .dagster cannot be used ({reason}): {HEAL}", file=sys.stderr)
    except OSError as error:
        if (message := disk_trouble(error)) is None:
            raise
        print(f"error: {message}", file=sys.stderr)
    return 2


@contextmanager
def _own_streams() -> Iterator[None]:
    """Standard output and error point afterwards where they pointed before.

    While a step runs, Dagster redirects both to a file, and on a full disk it fails to restore them: the error about
    it would go into that file.
    """
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


def _of_the_database() -> tuple[type[Exception], ...]:
    """What Dagster's SQLite raises. Evaluated only after an exception, so that no command loads sqlalchemy for it."""
    from sqlalchemy.exc import OperationalError

    return OperationalError, sqlite3.OperationalError


COMMANDS = {
    "run": "the whole pipeline, then the summary",
    "ui": "the Dagster UI, with schedule and sensors",
    "prepare": "make the Dagster instance and the tables of the dashboards, end runs whose process is gone",
    "stop": "stop the service that `run` left serving",
    "status": "what serves, and how the last run ended",
    "logs": "the last lines of what serves, or of what served before",
    "why": "what each trigger decided, and with which numbers",
    "import": "a cleaned copy of a file of reviews into data/imports",
    "label": "the page on which people label reviews",
    "labels": "labels of people from a file or into one, and how many there are",
    "try": "other recipes trained and judged beside the live model; nothing changes",
    "erase": "remove a person's reviews from every current file",
    "versions": "list the versions of data and models",
    "deployments": "what was live when, who or what put it there",
    "restore": "bring data and models back to a version",
    "rollback": "an earlier release live again",
    "approve": "put the release live that waits for approval",
    "reject": "keep the release out that waits for approval",
    "resume": "the release that was live last, with the present settings",
    "prune": "remove what nothing needs any more",
    "mirror": "bring the mirrors in MongoDB and MLflow up to date",
    "backup": "databases and run history as one file",
    "restore-backup": "such a file in the place of what is here",
    "sbom": "the bill of materials of what serves, or of the newest release",
    "audit": "ask pip-audit about every lock",
    "digest": "what reviews said in the last seven days, as one HTML file",
}
_ARGUMENTS = {
    "logs": ("what", "follow"),
    "import": ("file",),
    "label": (),
    "labels": ("file", "to", "by"),
    "try": ("params", "to"),
    "erase": ("author", "review"),
    "versions": (),
    "deployments": (),
    "restore": ("version",),
    "rollback": ("to",),
    "approve": ("release", "by", "comment"),
    "reject": ("release", "by", "comment"),
    "resume": (),
    "prune": ("dry-run",),
    "mirror": (),
    "backup": ("to",),
    "restore-backup": ("file", "overwrite"),
    "sbom": (),
    "audit": (),
    "digest": ("to",),
}


def _on_data(given: argparse.Namespace) -> int:
    from mlops_assets.cli import backup, data, digest, logs
    from mlops_assets.cli.label import command as label
    from mlops_assets.settings import Settings

    def try_recipes() -> int:
        from mlops_assets.cli import trial  # its tables come from the pages of Dagster's UI

        return trial.try_recipes(settings, params=given.params, to=given.to)

    settings = Settings.load().where_it_last_ran()
    commands: dict[str, Callable[[], int]] = {
        "logs": lambda: logs.show_log(settings, given.what, follow=given.follow == "1"),
        "import": lambda: data.import_file(settings, given.file),
        "label": lambda: label.serve(settings),
        "labels": lambda: label.exchange(settings, file=given.file, to=given.to, by=given.by),
        "try": try_recipes,
        "erase": lambda: data.erase_reviews(settings, author=given.author, review=given.review),
        "versions": lambda: data.show_versions(settings),
        "deployments": lambda: data.show_deployments(settings),
        "restore": lambda: data.restore_version(settings, given.version),
        "rollback": lambda: data.roll_back(settings, given.to),
        "approve": lambda: data.decide_about_release(
            settings, "approve", given.release, by=given.by, comment=given.comment
        ),
        "reject": lambda: data.decide_about_release(
            settings, "reject", given.release, by=given.by, comment=given.comment
        ),
        "resume": lambda: data.resume_service(settings),
        "prune": lambda: data.prune_everything(settings, dry_run=given.dry_run == "1"),
        "mirror": lambda: data.catch_up_mirrors(settings),
        "backup": lambda: backup.back_up(settings, given.to),
        "restore-backup": lambda: backup.restore_backup(settings, given.file, overwrite=given.overwrite == "1"),
        "sbom": lambda: data.write_sbom(settings),
        "audit": lambda: data.audit_locks(settings),
        "digest": lambda: digest.write(settings, given.to),
    }
    return commands[given.command]()


def _run(command: str) -> int:
    # Imported here, so that each command loads only what it needs.
    from mlops_assets.settings import Settings

    settings = Settings.load()
    if command == "run":
        from mlops_assets.cli.run import run_pipeline

        return run_pipeline(settings)
    if command in ("prepare", "ui"):
        from mlops_assets.cli import ui

        if command == "ui":
            ui.open_ui(settings)
        ui.prepare(settings)
        return 0
    if command == "why":
        from mlops_assets.automation.why import decisions
        from mlops_assets.cli.data import table
        from mlops_assets.cli.instance import open_instance

        with open_instance(settings) as instance:
            rows = [decision.row() for decision in decisions(instance)]
        print(table(rows) or "No trigger has decided anything yet: make ui starts the schedule and the sensors")
        return 0
    from mlops_assets import outside

    settings = settings.where_it_last_ran()
    things = outside.build(settings)
    service = things["service"]
    if command == "stop":
        print("Stopped the service." if service.stop(caused_by="make stop") else "No service was running.")
        return 0
    from mlops_assets.cli.status import print_labels, print_service, print_status

    serves = print_service(settings, service)
    print_labels(settings, things["repository"])
    return 0 if print_status(settings) and serves else 1


if __name__ == "__main__":
    sys.exit(main())
