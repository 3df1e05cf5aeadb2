"""Imports without libraries that take a third of the start of a command and that no command uses."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, cast


@cache
def import_structlog() -> None:
    """Import structlog without rich, which it imports for colored tracebacks. `service.log` writes plain ones."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    modules["rich"] = None  # None makes the import of a module fail, as if it were not installed
    try:
        import_module("structlog")
    finally:
        del modules["rich"]


@contextmanager
def jwt_on_first_use() -> Generator[None]:
    """Keep redis from the import of jwt, and of cryptography with it, which it uses for tokens of Entra ID only.

    Modules imported in this block that import jwt get a placeholder. The first use of an attribute imports jwt.
    """
    if "jwt" in sys.modules:
        yield
        return

    def use(name: str) -> Any:  # noqa: ANN401 - any attribute of the module
        return getattr(import_module("jwt"), name)

    placeholder = ModuleType("jwt")
    vars(placeholder)["__getattr__"] = use
    sys.modules["jwt"] = placeholder
    try:
        yield
    finally:
        del sys.modules["jwt"]  # modules of other packages, which are loaded later, import jwt itself
