"""Tests turn warnings into errors; users do not. So nothing may depend on a warning being raised."""

import ast

from tests.repository import ROOT


def _named(expression: ast.expr | None) -> list[str]:
    return [ast.unparse(part) for part in ast.walk(expression)] if expression is not None else []


def test_no_module_catches_a_warning_as_an_error() -> None:
    modules = sorted((ROOT / "mlops_assets").rglob("*.py"))
    assert len(modules) > 100
    caught = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and any(name.endswith("Warning") for name in _named(node.type))
    ]
    assert caught == []
