"""Writes the locks in this folder from the ranges in pyproject.toml: `make lock`.

One file per role, so that each environment installs just what it needs; the server's versions are the
pipeline's. `dev.txt` holds what the tests add to `pipeline.txt`, `kubernetes.txt` what the image for a cluster adds.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

LOCKS = Path(__file__).parent
HEADER = "# Written by `make lock` from pyproject.toml. Do not edit.\n"


def resolve(requirements: list[str], constraints: list[str]) -> list[str]:
    """`name==version` of everything that pip would install for the requirements, sorted."""
    constraint_file = LOCKS / ".constraints.txt"
    constraint_file.write_text("\n".join(constraints), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    try:
        done = subprocess.run(
            [*command, "-c", str(constraint_file), *requirements], check=True, capture_output=True, text=True
        )
    finally:
        constraint_file.unlink()
    packages = [item["metadata"] for item in json.loads(done.stdout)["install"] if item["metadata"]["name"] != "pip"]
    return sorted((f"{p['name']}=={p['version'].split('+')[0]}" for p in packages), key=str.lower)


def main() -> None:
    project = tomllib.loads((LOCKS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [line for line in project["dependencies"] if not line.startswith(project["name"])]
    extras = project["optional-dependencies"]
    everything = resolve([*own, *extras["serving"], *extras["kubernetes"], *extras["dev"]], [])
    pipeline = resolve([*own, *extras["serving"]], everything)
    locks = {
        "pipeline": pipeline,
        "dev": [line for line in everything if line not in pipeline],
        "serving": resolve(extras["serving"], pipeline),
        "serving-gpu": resolve(extras["serving-gpu"], pipeline),
        "dvc": resolve(extras["dvc"], []),
        "kubernetes": [line for line in resolve(extras["kubernetes"], everything) if line not in pipeline],
    }
    for role, lines in locks.items():
        (LOCKS / f"{role}.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
