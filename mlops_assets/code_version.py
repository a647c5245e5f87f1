"""One answer to whether code changed: a digest over modules and all that they import of this package.

What only people read does not count, so that a reworded message retrains no model: comments, layout, docstrings, and
the strings in raise statements and in calls that log, report or print. Every other constant counts.
"""

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from mlops_assets.files import replace_file

_PACKAGE = "mlops_assets"
_ROOT = Path(__file__).parent
_LOGGERS = ("log", "logger", "logging", "warnings")
_LOGGING = ("debug", "info", "warning", "error", "exception", "critical", "warn")
_MOST_KEPT = 2000

_Parsed = tuple[str, list[str]]
"""The digest of a module's code, and the names that it imports of this package."""


def code_version(*modules: str) -> str:
    """The first 12 hex digits over the code of the modules, named in full, and of what they import of this package."""
    code = json.dumps(imported_code(*modules), sort_keys=True)
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def imported_code(*modules: str) -> dict[str, str]:
    """Module name -> digest of its code, of the modules and all that they import, function bodies included."""
    parsed = _ParsedBefore(_ROOT / "__pycache__" / f"code_version.{sys.implementation.cache_tag}.json")
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name in found or not path.is_file():
            continue  # A name that is no module is something in a module, which is waiting too.
        found[name], imported = parsed.of(path.read_bytes())
        waiting += imported
    parsed.save()
    if missing := [name for name in modules if name not in found]:
        raise ModuleNotFoundError(f"{', '.join(missing)}: no such module in {_ROOT}")
    return found


class _ParsedBefore:
    """What is known of each source, beside the compiled modules: parsing takes two seconds, at each start of Dagster.

    A source is known by its own digest and that of this module, whose rules decide what counts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rules = Path(__file__).read_bytes()
        self._known: dict[str, _Parsed] = {}
        self._used: dict[str, _Parsed] = {}
        with suppress(OSError, ValueError):  # Absent or damaged: everything is parsed again.
            self._known = json.loads(path.read_text(encoding="utf-8"))

    def of(self, source: bytes) -> _Parsed:
        key = hashlib.sha256(self._rules + source).hexdigest()
        self._used[key] = self._known.get(key) or _parse(source)
        return self._used[key]

    def save(self) -> None:
        if self._used.keys() <= self._known.keys():
            return
        kept = self._used if len(self._known) > _MOST_KEPT else {**self._known, **self._used}
        with suppress(OSError):  # The package may lie in a folder that this user cannot write.
            replace_file(self._path, json.dumps(kept))


@cache
def _parse(source: bytes) -> _Parsed:
    tree = ast.parse(source)
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_PACKAGE):
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names if alias.name.startswith(_PACKAGE)]
    return hashlib.sha256(ast.dump(_WithoutProse().visit(tree)).encode()).hexdigest(), imported


class _WithoutProse(ast.NodeTransformer):
    """Takes out docstrings, and the strings of whatever raises, logs, reports or prints."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return _WithoutStrings().visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return _WithoutStrings().visit(node) if _is_message(node.func) else self.generic_visit(node)


class _WithoutStrings(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        del node
        return ast.Constant("")


def _is_message(function: ast.expr) -> bool:
    """Whether a call tells somebody something: print(…), report(…), self.report(…), context.log.info(…)."""
    name = _last_name(function)
    if isinstance(function, ast.Attribute) and name in _LOGGING:
        return _last_name(function.value).strip("_").lower() in _LOGGERS
    return name in ("print", "report")


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
