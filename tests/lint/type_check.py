"""Type check of the files that changed since they last passed, and of all files that import a changed interface.

Pyright keeps nothing between two runs: it checks all files again, for most of a minute. The interface of a file is its
text without the function bodies that pyright does not read for another file.
`python -m tests.lint.type_check` records the files that passed in `.cache/types.json`, which `make clean` removes.
"""

import ast
import hashlib
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.lint.names import python_files

PROJECT = Path("pyproject.toml")
Function = ast.FunctionDef | ast.AsyncFunctionDef
RECORD = Path(".cache/types.json")
PASSED_MAX = 10
"""Closures of one file that are kept: a reverted edit and another branch are not checked again."""


class CheckedFile(msgspec.Struct):
    """File of the last check: digests of its text and interface, names it imports, closures with which it passed."""

    digest: str
    interface: str
    imported: list[str]
    passed: list[str] = []


class Record(msgspec.Struct):
    """Result of the last check: digest of the settings and libraries, and the files by path."""

    environment: str = ""
    files: dict[str, CheckedFile] = {}


def main() -> int:
    """Check the types; return the exit code of pyright."""
    pyright = Path(sys.executable).with_name("pyright")
    return check_types(Path(), lambda paths: subprocess.run([pyright, *paths], check=False).returncode)


def check_types(root: Path, pyright: Callable[[list[str]], int]) -> int:
    """Call `pyright` with the paths to check, none for all files, and return its exit code.

    Its success is recorded if no file was edited in the meantime.
    """
    record = _updated(root, _read_record(root))
    closures = _closures(record.files)
    changed = [path for path, file in record.files.items() if closures[path] not in file.passed]
    print(
        f"types: {len(changed)} of {len(closures)} files changed since they passed, or import a changed interface",
        flush=True,
    )
    code = pyright(changed if len(changed) < len(closures) else []) if changed else 0
    edited = [path for path, file in record.files.items() if _digest_of(root / path) != file.digest]
    for path in changed if code == 0 and not edited else ():
        record.files[path].passed = [*record.files[path].passed, closures[path]][-PASSED_MAX:]
    (root / RECORD).parent.mkdir(exist_ok=True)
    (root / RECORD).write_bytes(msgspec.json.encode(record))
    return code


def _read_record(root: Path) -> Record:
    try:
        return msgspec.json.decode((root / RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return Record()


def _updated(root: Path, old: Record) -> Record:
    """Return a record of the present files, which have passed if the environment is the same."""
    text = (root / PROJECT).read_text()
    libraries = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))
    new = Record(_digest("\n".join([text, *libraries]).encode()))
    folders = tomllib.loads(text)["tool"]["pyright"]["include"]
    for file in filter(Path.is_file, python_files(tuple(root / folder for folder in folders))):
        path, content = file.relative_to(root), file.read_bytes()
        known = old.files.get(str(path)) if old.environment == new.environment else None
        digest = _digest(content)
        if known is None or known.digest != digest:
            known = _parsed(path, content, known.passed if known else [])
        new.files[str(path)] = known
    return new


def _parsed(path: Path, content: bytes, passed: list[str]) -> CheckedFile:
    digest = _digest(content)
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # pyright reports the place
        return CheckedFile(digest, digest, [], passed)
    return CheckedFile(digest, _digest(_interface(tree, content)), sorted(set(_imported(path, tree))), passed)


def _interface(tree: ast.Module, content: bytes) -> bytes:
    """Return the text of a file without function bodies that give no type to another file."""
    lines: list[bytes | None] = [*content.splitlines()]
    for node in ast.walk(tree):
        if isinstance(node, Function):
            body = slice(node.body[0].lineno - 1, node.end_lineno)
            if _has_own_types(node) and not any(b"pyright:" in (line or b"") for line in lines[body]):
                # pyright reads whether an async function is a generator
                is_generator = any(isinstance(each, ast.Yield) for each in _own_nodes(node))
                lines[body] = [b"yield" if is_generator else b"", *[None] * (len(lines[body]) - 1)]
    return b"\n".join(line for line in lines if line is not None)


def _has_own_types(function: Function) -> bool:
    """Check that all types outside a function are independent of its body.

    Not if its result is inferred, if it sets attributes or outer names, or if it may be without an implementation.
    """
    if not function.returns or function.body[0].lineno <= (function.returns.end_lineno or 0):
        return False
    own = {type(each) for each in _own_nodes(function)}
    if all(isinstance(each, ast.Expr | ast.Pass) for each in function.body):
        return False
    if ast.Raise in own and not own & {ast.Return, ast.Yield, ast.YieldFrom}:
        return False
    return not any(
        isinstance(each, ast.Global | ast.Nonlocal)
        or (isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store))
        for each in ast.walk(function)
    )


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body, without those of functions in it."""
    waiting: list[ast.AST] = [*function.body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting += ast.iter_child_nodes(node)


def _imported(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of each module that a file may import; relative names as of the root."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: -node.level] if node.level else ()
            module = [*package, *([node.module] if node.module else [])]
            yield from (".".join([*module, each.name]) for each in node.names)


def _closures(files: dict[str, CheckedFile]) -> dict[str, str]:
    """Return, for each file, the digest of its text, and of the paths and interfaces of all files that it imports."""
    imports = {
        path: {found for name in file.imported for found in _found(path, name, files)} for path, file in files.items()
    }
    closures: dict[str, str] = {}
    for path, file in files.items():
        seen, waiting = {path}, [path]
        while waiting:
            new = imports[waiting.pop()] - seen
            seen |= new
            waiting += new
        interfaces = (f"{each} {files[each].interface}" for each in sorted(seen))
        closures[path] = _digest("\n".join([file.digest, *interfaces]).encode())
    return closures


def _found(path: str, name: str, files: dict[str, CheckedFile]) -> Iterator[str]:
    """Yield the files of a module and of its packages, in each folder where pyright may find them."""
    parts = name.split(".")
    for folder in {"tests/", *("" if str(each) == "." else f"{each}/" for each in Path(path).parents)}:
        for count in range(1, len(parts) + 1):
            module = folder + "/".join(parts[:count])
            yield from (each for each in (f"{module}.py", f"{module}/__init__.py") if each in files)


def _digest_of(path: Path) -> str:
    return _digest(path.read_bytes()) if path.is_file() else ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
