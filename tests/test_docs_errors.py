"""Tests that docs/reference/errors.md lists the code of every error."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RAISED = {"Deferred", "PermanentError", "TransientError"}
WITH_CODE = re.compile(rf"\b({'|'.join(RAISED)})\(|\bkind\b")
NOT_OF_EVENTS = {"child_failed", "config", "disconnected", "error", "sandbox_rejected"}
"""Codes of the development tools, of mistakes with their own text, and of base classes."""


def codes_of(tree: ast.AST) -> Iterator[str]:
    """Yield the literal codes of raised errors and of the `kind` of error classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED and node.args:
            if isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)
        elif isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Lost", "Unavailable", "Full", "Durable")):
            for part in node.body:
                if isinstance(part, ast.Assign | ast.AnnAssign) and isinstance(part.value, ast.Constant):
                    target = part.targets[0] if isinstance(part, ast.Assign) else part.target
                    if isinstance(target, ast.Name) and target.id == "kind":
                        yield str(part.value.value)


def test_the_page_lists_every_code() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    listed = set(re.findall(r"`([a-z0-9_]+)`", page))
    modules = [path for folder in ("service", "workers") for path in (ROOT / folder).rglob("*.py")]
    texts = (path.read_text() for path in modules)
    codes = {code for text in texts if WITH_CODE.search(text) for code in codes_of(ast.parse(text))}
    assert len(codes) > 50
    assert codes - NOT_OF_EVENTS - listed == set()
