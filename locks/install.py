"""`make install`: the virtual environments, made from the locks, and mended where a move or a kill broke them.

Runs with any Python 3, without packages. What is installed is known by the content of the locks, not by their times.
"""

import contextlib
import csv
import fcntl
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

PYTHON = "python3.11"
PACKAGE = "mlops_assets"
ROLES = {"pipeline": (".venv", ("pipeline",)), "dev": (".venv", ("pipeline", "dev")), "dvc": (".venv-dvc", ("dvc",))}
STAMPS = {"pipeline": ".installed", "dev": ".installed-dev", "dvc": ".installed"}
LOCATION = ".location"
INSTALLERS = "installers"
"""The lock of pip and setuptools themselves: they are replaced first, by the pip that the Python brings."""

_SCRIPT = re.compile(
    rb"""\A(?:#![^\n]*/bin/python[\d.]*\n|#!/bin/sh\n'''exec' [^\n]*/bin/python[\d.]*"? "\$0" "\$@"\n' '''\n)"""
)
_ACTIVATED = re.compile(r"""(VIRTUAL_ENV[ =])["']?/[^"'\n]*["']?""")
_LONGEST_SHEBANG = 127


class CannotInstall(Exception):
    """What is missing, and the next step."""


class Environment:
    """One virtual environment of the clone at `root`."""

    def __init__(self, root: Path, role: str) -> None:
        folder, locks = ROLES[role]
        self.root, self.folder = root, root / folder
        self.locks = [root / "locks" / f"{name}.txt" for name in (INSTALLERS, *locks)]
        self.stamp = self.folder / STAMPS[role]
        self.python = self.folder / "bin" / "python"
        self.packages = self.folder / "lib" / PYTHON / "site-packages"
        self.holds_the_project = folder == ".venv"

    def bring_up_to_date(self, *, look_inside: bool = False) -> None:
        """Install what is missing and mend what is broken; nothing to do takes milliseconds.

        look_inside: also compare every package with its list of files, which takes seconds
        """
        if self.folder.is_symlink():  # somebody else's environment, which is not ours to change
            if not self.python.exists():
                raise CannotInstall(f"{self.folder} leads to no environment: remove the link and run make install")
            return
        if self._is_up_to_date() and not (look_inside and self._halves()):
            return
        self.folder.mkdir(exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._adopt()
            if self._has_python() and self.stamp.is_file():
                self._mend_a_move()
            if not self._is_up_to_date() or (look_inside and self._halves()):
                self._install()

    def _is_up_to_date(self) -> bool:
        return self._has_python() and _text(self.stamp) == self._digest() and self._location() == str(self.folder)

    def _has_python(self) -> bool:
        """Whether its Python is there and of the version whose packages lie here."""
        if not self.python.exists() or not self.packages.is_dir():
            return False
        version = re.fullmatch(r"python3\.\d+", self.python.resolve().name)
        return version is None or version.group() == PYTHON

    def _digest(self) -> str:
        lines = [line.strip() for lock in self.locks for line in lock.read_text(encoding="utf-8").splitlines()]
        wanted = "\n".join(line for line in lines if line and not line.startswith("#"))
        return hashlib.sha256(wanted.encode()).hexdigest()

    def _location(self) -> str:
        return _text(self.folder / LOCATION)

    def _adopt(self) -> None:
        """An empty stamp is an earlier version's: it counts where no lock is newer."""
        if self.stamp.is_file() and not _text(self.stamp):
            newest = max(lock.stat().st_mtime for lock in self.locks)
            if self.stamp.stat().st_mtime >= newest:
                _write(self.stamp, self._digest())

    def _install(self) -> None:
        for stamp in set(STAMPS.values()):  # none is true while packages change
            (self.folder / stamp).unlink(missing_ok=True)
        _say(f"Installing {' and '.join(f'locks/{lock.name}' for lock in self.locks)}: a few minutes, once.")
        self._remove_halves()
        if not self._has_python() or not any(self.packages.glob("pip-*.dist-info")):
            self._make()
        self._mend_a_move()
        installers, *locks = self.locks
        self._install_locked(installers)
        self._install_locked(*locks, constraints=self._cpu_build())
        if (self.packages / "torch" / "lib" / "libtorch_cuda.so").exists():  # does not load without CUDA's libraries
            self._install_locked(self.root / "locks" / "cuda.txt")
        if self.holds_the_project and self._finder() is None:
            # Quieter: setuptools warns of every editable installation.
            self._pip("--quiet", "--no-build-isolation", "-e", str(self.root))
        for role in ROLES:
            other = Environment(self.root, role)
            if other.folder == self.folder and set(other.locks) <= set(self.locks):
                _write(other.stamp, other._digest())

    def _make(self) -> None:
        """The environment's own Python and pip; packages of the same version of Python stay."""
        if sys.version_info[:2] != (3, int(PYTHON.rpartition(".")[2])):
            raise CannotInstall(
                f"{PYTHON} is needed, got Python {sys.version.split()[0]}: install it, or name it with make PYTHON=…"
            )
        for link in (self.folder / "bin").glob("python*"):
            link.unlink()  # one that leads nowhere would stay
        _run(sys.executable, "-m", "venv", str(self.folder))

    def _cpu_build(self) -> "list[Path]":
        """The constraint for the CPU build of torch, if an index offers that: pip prefers CUDA's, and 3 GB with it."""
        constraint = self.root / "locks" / "cpu.constraint"
        build = re.search(r"^torch==(\S+)", _text(constraint), re.MULTILINE)
        if build is None or not self.holds_the_project:
            return []
        asked = [str(self.python), "-m", "pip", "index", "versions", "torch"]
        reply = subprocess.run(asked, check=False, capture_output=True, text=True)
        return [constraint] if build[1] in re.split(r"[\s,]+", reply.stdout) else []

    def _install_locked(self, *locks: Path, constraints: "Sequence[Path]" = ()) -> None:
        """What the locks name and nothing else. The build tools are the environment's: pip would fetch others."""
        files = [*(("-r", lock) for lock in locks), *(("-c", constraint) for constraint in constraints)]
        options = [text for option, file in files for text in (option, str(file))]
        self._pip("--require-hashes", "--no-build-isolation", *options)

    def _pip(self, *arguments: str) -> None:
        _run(
            str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *arguments
        )

    def _remove_halves(self) -> None:
        """Forget packages that are incomplete, as a killed pip leaves them: it would take them for installed."""
        for leftover in self.packages.glob("~*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for about in self._halves():
            _say(f"{about.name.removesuffix('.dist-info')} is not whole: it is installed again.")
            shutil.rmtree(about)

    def _halves(self) -> "list[Path]":
        """Packages that lack files of theirs: pip was killed, or somebody deleted a part of the environment."""
        found = [about for about in self.packages.glob("*.dist-info") if not about.name.startswith(PACKAGE)]
        return [about for about in found if not self._is_whole(about / "RECORD")]

    def _is_whole(self, record: Path) -> bool:
        if not record.is_file():
            return False
        with record.open(encoding="utf-8", newline="") as rows:
            for name, _, size in csv.reader(rows):
                if name.endswith(".pyc") or "/bin/" in name:  # made here, or rewritten here
                    continue
                path = self.packages / name
                if not path.is_file() or (size and path.stat().st_size != int(size) and _is_code(path)):
                    return False
        return True

    def _mend_a_move(self) -> None:
        """Have scripts, activation and the project's own entry name the folder that they lie in."""
        mended = [path for path in self._naming_their_folder() if _replaced(path, self._with_this_folder(path))]
        if mended:
            _say(f"{self.folder} was made in another folder: mended {len(mended)} files that named it.")
        _write(self.folder / LOCATION, str(self.folder))

    def _naming_their_folder(self) -> Iterator[Path]:
        scripts = sorted(path for path in (self.folder / "bin").iterdir() if path.is_file() and not path.is_symlink())
        yield from scripts
        yield self.folder / "pyvenv.cfg"
        finder = self._finder() if self.holds_the_project else None
        if finder is not None:
            yield from self.packages.glob(f"{PACKAGE}-*.dist-info/direct_url.json")
            yield finder

    def _with_this_folder(self, path: Path) -> bytes:
        content = path.read_bytes()
        if path.parent == self.packages or path.name == "direct_url.json":
            return self._with_this_root(content)
        if path.name.startswith("activate"):
            here = shlex.quote(str(self.folder)) if " " in str(self.folder) else f'"{self.folder}"'
            return _ACTIVATED.sub(lambda found: found.group(1) + here, content.decode()).encode()
        if path.name == "pyvenv.cfg":
            return re.sub(
                rb"(?m)^(command = .* -m venv ).*$", lambda found: found.group(1) + bytes(self.folder), content
            )
        here = bytes(self.folder / "bin" / "python")
        is_ours = re.compile(rb"""[!" ]""" + re.escape(here))  # pip writes python, or python3.11
        return _SCRIPT.sub(lambda found: found[0] if is_ours.search(found[0]) else self._shebang(), content)

    def _with_this_root(self, content: bytes) -> bytes:
        finder = self._finder()
        old = re.search(rf"'{PACKAGE}': '(.*?)/{PACKAGE}'", _text(finder)) if finder is not None else None
        if old is None:
            return content
        there, here = old.group(1), str(self.root)
        text = content.decode().replace(f"'{there}/", f"'{here}/")
        return text.replace(f"file://{quote(there)}", f"file://{quote(here)}").encode()

    def _shebang(self) -> bytes:
        python = self.folder / "bin" / PYTHON
        if len(str(python)) < _LONGEST_SHEBANG and " " not in str(python):
            return f"#!{python}\n".encode()
        return f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n".encode()

    def _finder(self):  # noqa: ANN202  a path or None, also for Python before 3.10
        return next(self.packages.glob(f"__editable___{PACKAGE}_*_finder.py"), None)


def main(roles: "list[str]") -> int:
    """Bring the environments of these roles up to date; 1 where that fails. `--look-inside` may come first."""
    look_inside = roles[:1] == ["--look-inside"]
    roles = roles[look_inside:]
    root = Path(__file__).resolve().parents[1]
    try:
        for role in roles:
            Environment(root, role).bring_up_to_date(look_inside=look_inside)
    except CannotInstall as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise CannotInstall(
            f"{' '.join(command[1:4])} failed (its lines are above): mend the cause and run make install, which goes on"
        )


def _replaced(path: Path, content: bytes) -> bool:
    """A new file instead of a changed one: its other hard links, in other clones, keep their content."""
    if path.read_bytes() == content:
        return False
    scratch = path.with_name(path.name + ".partial")
    scratch.write_bytes(content)
    shutil.copymode(path, scratch)
    scratch.replace(path)
    return True


def _write(path: Path, text: str) -> None:
    if _text(path) != text:
        scratch = path.with_name(path.name + ".partial")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)


def _text(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return path.read_text(encoding="utf-8")
    return ""


def _is_code(path: Path) -> bool:
    return path.suffix in {".py", ".so"}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
