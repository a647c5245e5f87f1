"""CPU, memory and disk where the server runs, as Linux tells them; what it does not tell is left out."""

import os
import shutil
from pathlib import Path


def machine_rows() -> list[tuple[str, str]]:
    """Name and value, for people."""
    disk = shutil.disk_usage("/")
    rows = [
        ("Load, 1 min", f"{os.getloadavg()[0]:.2f} on {os.cpu_count()} cores"),
        ("Disk free", f"{disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB"),
    ]
    known = _meminfo(Path("/proc/meminfo"))
    if "MemTotal" in known and "MemAvailable" in known:
        rows.append(("Memory free", f"{known['MemAvailable'] / 1e6:.1f} of {known['MemTotal'] / 1e6:.1f} GB"))
    return rows


def _meminfo(path: Path) -> dict[str, int]:
    """Kilobytes by name; nothing where there is no such file."""
    if not path.is_file():
        return {}
    pairs = (line.split(":") for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value.split()[0]) for name, value in pairs}
