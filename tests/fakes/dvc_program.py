#!/usr/bin/env python3
"""`dvc add`, `push` and `fetch` for tests whose subject is git: the files of the real program, 40 times faster."""

import configparser
import hashlib
import json
import shutil
import sys
from pathlib import Path

CACHE = Path(".dvc/cache/files/md5")


def main() -> None:
    command, names = sys.argv[1], [name for name in sys.argv[2:] if not name.startswith("-")]
    if command == "add":
        for name in names:
            add(name)
        return
    if command == "stage":
        sys.stdout.write(" ".join(str(path) for path in Path().glob("*/**/*.dvc")))
        return
    config = configparser.ConfigParser()
    config.read([".dvc/config", ".dvc/config.local"])
    remote = Path(config["'remote \"storage\"'"]["url"]) / "files" / "md5"
    source, target = (CACHE, remote) if command == "push" else (remote, CACHE)
    for name in names:
        whole = Path(name).read_text().split("md5: ", 1)[1].split("\n", 1)[0]
        listed = json.loads((place(source, whole)).read_text())
        for item in [*(entry["md5"] for entry in listed), whole]:
            copy(place(source, item), place(target, item))


def add(name: str) -> None:
    folder = Path(name)
    listed = []
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            copy(path, place(CACHE, digest))
            listed.append({"md5": digest, "relpath": path.relative_to(folder).as_posix()})
    text = json.dumps(listed)
    whole = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
    place(CACHE, whole).parent.mkdir(parents=True, exist_ok=True)
    place(CACHE, whole).write_text(text)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    Path(f"{name}.dvc").write_text(
        f"outs:\n- md5: {whole}\n  size: {size}\n  nfiles: {len(listed)}\n  hash: md5\n  path: {folder.name}\n"
    )


def place(root: Path, name: str) -> Path:
    return root / name[:2] / name[2:]


def copy(source: Path, target: Path) -> None:
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
