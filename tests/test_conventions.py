"""Repository conventions: sizes, imports, names, lint exceptions, settings, make targets."""

import ast
import os
import re
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from service.settings import CALLER_NAMES, FILE_SETTINGS, PREFIX, Settings, describe_setting, file_variable

ROOT = Path(__file__).parents[1]
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 60

FORBIDDEN_MODULES = {"utils", "util", "helpers", "common", "misc", "manager", "core", "lib", "base"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def tracked() -> tuple[Path, ...]:
    """Files of the repository, those not yet committed included; all files where there is no git to ask."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(path for path in ROOT.rglob("*") if path.is_file() and not _made(path.relative_to(ROOT).parts))
    return tuple(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def _made(parts: tuple[str, ...]) -> bool:
    made = {"__pycache__", "node_modules", "bench-out", "htmlcov"}
    return any(
        part in made or (part.startswith(".") and part not in {".ci", ".github", ".gitignore"}) for part in parts
    )


def modules(*rooms: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in rooms]


def findings() -> dict[str, list[str]]:
    return scan()[0]


@cache
def scan() -> tuple[dict[str, list[str]], dict[Path, list[ast.ImportFrom]]]:
    """Return findings in the syntax trees of all modules, and the imports of each module by name.

    Each tree is freed at once: many trees slow garbage collection.
    """
    found: dict[str, list[str]] = {"docstring": [], "length": [], "import": [], "annotations": []}
    imported: dict[Path, list[ast.ImportFrom]] = {}
    for path in modules("service", "workers"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(statements(tree))
        imported[path] = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        if not ast.get_docstring(tree):
            found["docstring"].append(str(path.relative_to(ROOT)))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                found["annotations"].append(place(path, node))
        for function in (node for node in nodes if isinstance(node, FUNCTIONS)):
            if (function.end_lineno or function.lineno) - function.lineno + 1 > FUNCTION_LINES_MAX:
                found["length"].append(f"{place(path, function)} {function.name}")
            imports = (node for node in statements(function) if isinstance(node, ast.Import | ast.ImportFrom))
            found["import"] += [place(path, node) for node in imports]
    return found, imported


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements in a tree. Expressions, the most nodes of a tree, contain none."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, field, ()):
            yield node
            yield from statements(node)


@cache
def texts() -> tuple[tuple[str, str], ...]:
    return tuple(_texts())


def _texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        with suppress(UnicodeDecodeError):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def test_every_module_has_a_docstring() -> None:
    assert findings()["docstring"] == []


def test_no_module_exceeds_the_line_limit() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules("service", "workers")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}


def test_every_function_fits_a_screen() -> None:
    assert findings()["length"] == []


def test_no_import_is_inside_a_function() -> None:
    assert findings()["import"] == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules("service", "workers")}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph = {name: set(imported_modules(path, paths.keys())) - {name} for name, path in paths.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def imported_modules(path: Path, known: Collection[str]) -> Iterator[str]:
    """Yield the known modules that a module imports, those for type checkers included."""
    for node in scan()[1][path]:
        if node.module and node.module in known:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module


def test_no_module_postpones_annotations() -> None:
    assert findings()["annotations"] == []


def test_no_module_has_a_meaningless_name() -> None:
    named = {path for path in modules("service", "workers") if path.stem in FORBIDDEN_MODULES}
    assert named <= {ROOT / "service" / "platforms" / "base.py"}


def test_nothing_is_unfinished_or_skipped() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX)\b|\bpytest\.(skip|xfail)|mark\.(skip|xfail)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in modules("service", "workers", "tests")
        if path not in {Path(__file__), ROOT / "tests" / "plugins" / "system_tools.py"}
        if mark.search(text := path.read_text())
        for number, line in enumerate(text.splitlines(), 1)
        if mark.search(line)
    ]
    assert found == []


def test_every_lint_exception_names_its_rule_and_reason() -> None:
    ignore = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore|pragma)(?P<rest>.*)")
    coded = re.compile(r"^(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*|\[[A-Za-z, ]+\]|:\s*no cover)\s*(?P<reason>.*)$")
    bare: list[str] = []
    for path in modules("service", "workers"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = ignore.search(line)
            match = coded.match(found["rest"].strip()) if found else None
            if found and (not match or len(match["reason"].strip(" -#")) < 4):
                bare.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[-60:]}")
    assert bare == []


def test_no_file_names_a_machine_or_a_package_index() -> None:
    machine = re.compile(
        r"(?<![\w.$}/-])/(?:work|root|home/\w+|Users/\w+)/[\w.-]+"  # a path of somebody's machine
        r"|--(?:extra-)?index-url|--find-links"  # where packages came from
        r"|\"resolved\":\s*\"https?:"  # the same, in npm's lock file
    )
    allowed = {"tests/test_conventions.py"}
    found = [f"{name}: {match[0]}" for name, text in texts() if name not in allowed for match in machine.finditer(text)]
    assert [line for line in found if not line.startswith("Makefile: --no-emit")] == []


def test_requirements_are_hashed_and_free_of_addresses() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        pins = re.findall(r"^[A-Za-z0-9._-]+(?:\[[a-z,]+\])?==", text, re.MULTILINE)
        blocks = re.findall(r"^[A-Za-z0-9._-]+(?:\[[a-z,]+\])?==.*\\\n\s+--hash=sha256:", text, re.MULTILINE)
        assert pins, path
        assert len(pins) == len(blocks), path
        assert "://" not in text, path


def test_the_top_level_has_only_the_expected_entries() -> None:
    allowed = {"pyproject.toml", "README.md", "Dockerfile", "Makefile", "CHANGELOG.md", "LICENSE"}
    rooms = {"service", "workers", "tests", "helm", "docs", "requirements"}
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= allowed | rooms


def test_readme_is_short() -> None:
    assert 6_000 < (ROOT / "README.md").stat().st_size < 8_192


def test_documentation_lists_every_setting_with_default_and_meaning() -> None:
    assert "(docs/reference/configuration.md)" in (ROOT / "README.md").read_text()
    lines = (ROOT / "docs/reference/configuration.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `WAYBILL_")]
    assert sorted((name, default, meaning) for name, default, _, meaning in rows) == sorted(
        map(_row, Settings.__struct_fields__)
    )


def _row(field: str) -> tuple[str, str, str]:
    meaning, _, default = describe_setting(field).rpartition(" (default ")
    text = default.removesuffix(")").strip("'")
    return f"`{PREFIX}{field.upper()}`", f"`{text}`" if text else "empty", meaning


def test_no_file_names_a_setting_that_does_not_exist() -> None:
    known = {PREFIX + field.upper() for field in Settings.__struct_fields__} | {
        "WAYBILL_TEST_SERVER",
        *CALLER_NAMES,
        *map(file_variable, FILE_SETTINGS),
    }
    strays = [
        f"{name}: {word}"
        for name, text in texts()
        if name.split("/")[0] in {"README.md", "docs", "helm", "Dockerfile", "Makefile", ".ci", "service", "workers"}
        for word in re.findall(r"\bWAYBILL_[A-Z0-9_]*[A-Z0-9]\b", text)
        if word not in known
    ]
    assert strays == []


def test_makefile_has_every_target_that_documentation_names() -> None:
    pages = (*(ROOT / ".github").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    typed = re.compile(r"`make ([a-z-]+)|^make ([a-z-]+)(?= +#| [A-Z]+=|$)", re.MULTILINE)
    named = {quoted or line for page in pages for quoted, line in typed.findall(page.read_text())}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "check", "test", "bench", "chaos", "fmt", "lock", "pages"} <= named
    assert (named | {"lint", "clean"}) - targets == set()


@pytest.mark.slow
def test_make_without_a_target_lists_every_target() -> None:
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    output = subprocess.run(["make"], cwd=ROOT, env=environ, capture_output=True, check=True, text=True).stdout  # noqa: S607 - the one on the path
    lines = [line.split(maxsplit=2) for line in output.splitlines()]
    assert sorted(target for _, target, _ in lines) == sorted(targets[0].split())
    assert all(len(meaning) > 5 for _, _, meaning in lines)


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "make test" in script
    assert "make demo" in script


def test_one_version_names_package_and_chart() -> None:
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    charts = [path for path in tracked() if path.name == "Chart.yaml"]
    assert version
    for chart in charts:
        assert re.search(rf'^appVersion:\s*"?{re.escape(version[1])}"?\s*$', chart.read_text(), re.MULTILINE), chart
