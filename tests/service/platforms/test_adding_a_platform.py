"""Adding a platform takes its folder, its samples and one line of the registry: no other module names a platform."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.platforms.custom import CUSTOM
from service.platforms.registry import KINDS

ROOT = Path(__file__).parents[3]
NAMES = [kind.name for kind in KINDS if kind is not CUSTOM]
PREFIXES = [name.title().replace("_", "") for name in NAMES]
NAMED = re.compile("|".join(f"{name}|{name.upper()}|{prefix}" for name, prefix in zip(NAMES, PREFIXES, strict=True)))
EXAMPLES = ("service/dev/demo.py", "service/dev/demo_scenario.py", "service/dev/workspace.py", "service/dev/starter.py")
"""The demo runs two platforms, and the custom account of `waybill init` reads the mock of one."""
ALLOWED = (*EXAMPLES, *(f"service/platforms/{name}" for name in NAMES))


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every name and every text of a module that is no docstring, with its line."""
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in statements:
                yield node.lineno, text
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.ImportFrom(module=module, names=names):
                yield node.lineno, " ".join([module or "", *(alias.name for alias in names)])
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case _:
                pass


def naming(path: Path) -> list[str]:
    """List the places of a module that name a platform."""
    source = path.read_text()
    found = identifiers(ast.parse(source)) if NAMED.search(source) else ()
    return [f"{path.relative_to(ROOT)}:{line}: {text[:80]}" for line, text in found if NAMED.search(text)]


def test_no_module_outside_a_platforms_folder_names_a_platform() -> None:
    modules = [
        path
        for folder in ("service", "workers")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(ALLOWED)
    ]
    assert len(modules) > 200
    assert [place for path in modules if path.stem != "registry" for place in naming(path)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_names_a_platform_in_its_import_and_in_its_list(name: str) -> None:
    source = (ROOT / "service" / "platforms" / "registry.py").read_text()
    lines = [line for line in source.splitlines() if re.search(rf"\b({name}|{name.upper()})\b", line)]
    assert lines == [
        f"from service.platforms.{name} import {name.upper()}",
        next(line for line in source.splitlines() if line.startswith("KINDS = (")),
    ]


def test_the_search_finds_a_platform() -> None:
    assert len(naming(ROOT / "service" / "platforms" / "registry.py")) >= 2 * len(NAMES)
