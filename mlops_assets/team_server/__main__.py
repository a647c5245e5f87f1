"""`python -m mlops_assets.team_server COMMAND`: how the team server's containers prepare."""

import argparse
import os
import sys
from pathlib import Path

from mlops_assets.deploy.server_settings import refuse_unusable
from mlops_assets.failures import Failure, PermanentFailure
from mlops_assets.settings import Settings, whole_environment
from mlops_assets.team_server import generated_files, instance, required_settings

LOCKS = Path("/locks")
"""The locks that the image was built from."""


def main() -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlops_assets.team_server", description=__doc__)
    parser.add_argument("command", choices=("enter", "check", "migrate", "daemon-alive"))
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    environ = whole_environment()
    clone = Path(environ["CLONE"])
    try:
        if arguments.command == "enter":
            return enter(clone, environ, arguments.rest)
        if arguments.command == "check":
            return check(clone, environ)
        if arguments.command == "migrate":
            # Loaded here: the image of the check has few packages.
            from mlops_assets.steps.refresh_dashboards import Dashboards

            with instance.migration_lock(environ):
                instance.make_databases(environ, generated_files.passwords(clone / "stack" / "made"))
                instance.migrate_tables(int(environ["RUNS_AT_ONCE"]))
                Dashboards.of(Settings.load(environ, clone)).prepare()
                instance.grant_prediction_log(environ)
            return 0
        return 0 if instance.daemon_alive(environ) else 1
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 2


def enter(clone: Path, environ: dict[str, str], command: list[str]) -> int:
    """Write Dagster's configuration to DAGSTER_HOME, then become `command`."""
    command = command[1:] if command[:1] == ["--"] else command
    if not command:
        raise PermanentFailure("the container was given no command")
    for lock in ("pipeline.txt", "dvc.txt"):
        image, code = LOCKS / lock, clone / "locks" / lock
        if image.is_file() and image.read_bytes() != code.read_bytes():
            raise PermanentFailure(
                f"the image was built from another locks/{lock} than the clone's: make up builds it again"
            )
    if "check" not in command:
        environ |= instance.database_logins(environ, generated_files.passwords(clone / "stack" / "made"))
        instance.write_dagster_yaml(clone, Path(environ["DAGSTER_HOME"]), environ)
    os.execvpe(command[0], command, environ)  # noqa: S606  it replaces this process and gets its signals


def check(clone: Path, environ: dict[str, str]) -> int:
    """Report every problem of the settings at once. Without any, write the files that the other containers need."""
    problems = required_settings.problems(environ)
    try:
        settings = Settings.load(environ, clone)
        key = settings.deploy_key.get_secret_value() if settings.deploy_key else ""
        refuse_unusable(settings.server_environment(), key, settings.host)
    except Failure as failure:
        problems.append(str(failure))
    if os.getuid() == 0:
        problems.append(
            "STACK_UID is 0: give the clone to a user (chown -R) and set STACK_UID to it; nothing here runs as root"
        )
    if problems:
        for line in problems:
            print(f"error: {line}", file=sys.stderr)
        print(
            f"The stack does not start: {len(problems)} of its settings in .env are missing or wrong.", file=sys.stderr
        )
        return 2
    folder = clone / "stack" / "made"
    generated_files.passwords(folder)
    generated_files.write_logins(folder, required_settings.logins(environ)[0])
    certificate = environ.get("DOOR_CERTIFICATE", "").strip()
    note = generated_files.write_certificate(folder, (clone / certificate) if certificate else None)
    for line in filter(None, [*required_settings.notes(environ), note]):
        print(f"note: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
