"""docs/architecture.md says where things are: it must be what the tree is."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.repository import ROOT

PACKAGE = ROOT / "mlops_assets"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_MODULES, MOST_LINES = 16, 340
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").split("\n")[0]


def table(name: str) -> dict[str, str]:
    """The first two columns of a table of the page."""
    part = PAGE.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", part, flags=re.MULTILINE))


def test_the_map_shows_every_room_with_the_sentence_that_the_room_says_of_itself():
    rooms = {f"{folder.relative_to(PACKAGE)}/": first_line(folder / "__init__.py") for folder in FOLDERS[1:]}
    assert table("rooms") == rooms


def test_the_map_shows_every_module_outside_a_room():
    modules = {path.name: first_line(path) for path in PACKAGE.glob("*.py") if path.name != "__init__.py"}
    assert table("modules") == modules


def test_the_layers_of_the_map_are_those_that_the_linter_holds():
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = re.sub(r"\s+", " ", PAGE.partition("    cli |")[2].partition("\n\n")[0])
    *named, last = [re.sub(r"mlops_assets\.", "", layer) for layer in layers]
    assert f"cli |{shown}" == " → ".join([*named, "the modules that every room may use"])
    assert {f"{name}.py" for name in last.split(" : ") if not (PACKAGE / name).is_dir()} <= table("modules").keys()


def test_every_file_and_function_on_the_way_of_a_review_exists():
    way = PAGE.partition("## The way of one review")[2]
    named = re.findall(r"`([\w/]+\.py)(?::(\w+))?`", way)
    assert len(named) >= 10
    for path, function in named:
        source = (PACKAGE / path).read_text(encoding="utf-8")
        assert not function or re.search(rf"^\s*(?:async )?(?:def|class) {function}\b", source, flags=re.MULTILINE), (
            f"{path} has no {function}"
        )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_room_has_few_modules_and_short_ones(folder):
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES, f"{folder}: {len(modules)} modules"
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_modules_import_each_other_in_a_circle():
    graph = grimp.build_graph("mlops_assets")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # its CycleError names the circle
