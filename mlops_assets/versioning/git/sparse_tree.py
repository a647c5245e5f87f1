"""Which tracked files lie in the private clone: what the pipeline and DVC read there, not the user's whole tree."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from mlops_assets.versioning.git.commands import Git

_READ_BY_DVC = ("/.dvc/", "/dvc.yaml", "/dvc.lock", "/params.yaml", ".dvcignore", ".gitignore")


def write_patterns(git: Git, commit: str, files: Sequence[str]) -> None:
    """Have the next checkout of `commit` write these files, and those that its dvc.yaml names (`params`, `vars` …)."""
    patterns = [*_READ_BY_DVC, *(_pattern(path) for path in sorted({*files, *_named_in_dvc_yaml(git, commit)}))]
    path = git.git_dir / "info" / "sparse-checkout"
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{pattern}\n" for pattern in patterns)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _named_in_dvc_yaml(git: Git, commit: str) -> set[str]:
    content = git.blobs([f"{commit}:dvc.yaml"])[0]
    try:
        read: Any = yaml.safe_load(content or b"")
    except yaml.YAMLError:
        return set()  # DVC says what is wrong with it
    words = {part for word in _words(read) for part in (word, word.partition(":")[0])}
    paths = sorted({str(PurePosixPath(word)) for word in words if _may_be_a_path(word)})
    if not paths:
        return set()
    entries = git.run("ls-tree", "-z", commit, "--", *paths).split("\0")
    return {path for about, _, path in (entry.partition("\t") for entry in entries) if " blob " in about}


def _words(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _words(name)
            yield from _words(value)
    elif isinstance(content, list):
        for value in content:
            yield from _words(value)


def _may_be_a_path(word: str) -> bool:
    path = PurePosixPath(word)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not set(word) & set("\0\n${")


def _pattern(path: str) -> str:
    return "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
