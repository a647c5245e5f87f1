"""The last lines of servers that are gone: one file each in the service's folder, the newest ten."""

from pathlib import Path

from mlops_assets.files import replace_file

FOLDER = "logs"
MOST_LINES = 2_000
_MOST_CHARS = 1_000_000
_MOST_FILES = 10


def keep_log(service_folder: Path, server: str, log: str) -> None:
    """Keep the end of what `server` wrote, under its name; of what is kept already the rest stays."""
    path = service_folder / FOLDER / f"{server}.log"
    if path.exists() or not log.strip():
        return
    replace_file(path, "\n".join(log[-_MOST_CHARS:].splitlines()[-MOST_LINES:]) + "\n", mode=0o600)
    for old in kept_logs(service_folder)[_MOST_FILES:]:
        old.unlink(missing_ok=True)


def kept_logs(service_folder: Path) -> list[Path]:
    """The kept files, the newest first."""
    return sorted((service_folder / FOLDER).glob("*.log"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
