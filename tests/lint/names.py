"""Name checks: names that several modules define, and identifiers with forbidden words.

`python -m tests.lint.names` lists both and exits with 1 if there are any.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

FOLDERS = (Path("service"), Path("workers"))
WORD_FOLDERS = (*FOLDERS, Path("tests"), Path("docs"), Path("helm"))
COMMAND_DECORATORS = frozenset({"command", "group"})
ALLOWED_REPEATS = frozenset({"read_customer", "read_page", "read_purchase_order"})
"""One function for each platform, with one meaning."""

FORBIDDEN_WORDS = {
    "provider": "platform", "vendor": "platform", "entity": "record", "workflow": "rule", "broker": "queue",
    "retry_count": "attempt", "failed_job": "dead letter", "dlq": "dead letter", "blacklist": "deny list",
    "whitelist": "allow list", "tell": "write, log, format", "told": "parsed, reported", "hear": "receive",
    "look": "probe, check, refresh", "fate": "outcome", "story": "history", "shelf": "store or cache", "desk": "client",
    "door": "endpoint, via", "room": "package, memory limit", "way": "route, connection", "wanted": "filter, required",
    "manners": "throttle", "patience": "idle timeouts", "judge": "evaluate, classify", "mend": "repair, fix",
    "heed": "honor", "fare": "status", "spot": "path", "lasting": "background", "refuse": "reject",
    "refused": "rejected", "forget": "erase", "household": "address block", "tells": "writes, logs, formats",
    "gate": "throttle, check", "gates": "throttles, checks", "rests": "open circuits", "shelved": "cached",
    "house": "project", "jobs_max": "limit, concurrency", "front_door": "ingress",
}  # fmt: skip
"""Words that no identifier contains, and the words to use."""

WORDS_OF_TESTS = frozenset({"patience", "workflow"})
"""Words with a meaning of their own in tests: the limit of a wait, and the workflows of GitHub."""

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def main() -> int:
    """Check the names of all folders; return the exit code."""
    findings = [f"{name} is defined more than once: {', '.join(at)}" for name, at in repeated_names(FOLDERS).items()]
    for path in python_files(WORD_FOLDERS):
        findings += forbidden_names(path, WORDS_OF_TESTS if path.parts[0] == "tests" else frozenset())
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


def python_files(folders: tuple[Path, ...]) -> list[Path]:
    """Return the Python files below the folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "node_modules" not in path.parts)


def repeated_names(folders: tuple[Path, ...]) -> dict[str, list[str]]:
    """Return each name that more than one module defines, with `file:line` of every definition."""
    found: defaultdict[str, dict[Path, int]] = defaultdict(dict)
    for path in python_files(folders):
        for definition in public_definitions(path):
            found[definition.name][path] = definition.lineno
    return {
        name: [f"{path}:{line}" for path, line in lines.items()]
        for name, lines in found.items()
        if len(lines) > 1 and name not in ALLOWED_REPEATS
    }


def public_definitions(path: Path) -> Iterator[Definition]:
    """Yield the public classes and functions at the top level of a module, without click commands."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, Definition) and not node.name.startswith("_") and not _is_command(node):
            yield node


def forbidden_names(path: Path, allowed: frozenset[str] = frozenset()) -> list[str]:
    """Return a line for each identifier of a module that contains a forbidden word that is not `allowed`."""
    found: list[str] = []
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    # A field of a struct has the name that a platform gave it.
    fields = {id(node.target) for node in nodes if isinstance(node, ast.AnnAssign)}
    for node in nodes:
        name = _bound_name(node)
        if name and id(node) not in fields:
            found += [
                f"{path}:{getattr(node, 'lineno', 1)}: {name} contains {word!r}. Fix: use {FORBIDDEN_WORDS[word]}"
                for word in _forbidden_words(name)
                if word not in allowed
            ]
    return found


@cache
def _forbidden_words(name: str) -> list[str]:
    parts = [part.lower() for part in WORD.findall(name)]
    pairs = [f"{first}_{second}" for first, second in pairwise(parts)]
    return [word for word in (*parts, *pairs) if word in FORBIDDEN_WORDS]


def _bound_name(node: ast.AST) -> str:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return name
        case _:
            return ""


def _is_command(node: Definition) -> bool:
    names = (each.func if isinstance(each, ast.Call) else each for each in node.decorator_list)
    return any(isinstance(name, ast.Attribute) and name.attr in COMMAND_DECORATORS for name in names)


if __name__ == "__main__":
    sys.exit(main())
